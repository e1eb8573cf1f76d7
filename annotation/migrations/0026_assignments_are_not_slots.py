from django.db import migrations, models
from django.db.models import Q

OPEN = Q(annotator=None, leased_until=None, state="open") | (
    ~Q(state="open") & Q(annotator__isnull=False, leased_until__isnull=False)
)
RENAMED = {
    "only_open_slots_are_nobodys": ("only_open_assignments_have_no_annotator", OPEN),
    "only_ordinary_slots_are_open": (
        "only_ordinary_assignments_are_open",
        Q(kind="ordinary") | ~Q(state="open"),
    ),
}


def renaming(old: str, new: str) -> str:
    return f"ALTER TABLE annotation_assignment RENAME CONSTRAINT {old} TO {new}"


class Migration(migrations.Migration):
    """Two constraints say assignment. They are renamed in place: no row is checked again, nothing waits."""

    dependencies = [("annotation", "0025_action_kinds_are_registered")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(renaming(old, new), renaming(new, old))],
            state_operations=[
                migrations.RemoveConstraint("assignment", old),
                migrations.AddConstraint("assignment", models.CheckConstraint(condition=condition, name=new)),
            ],
        )
        for old, (new, condition) in RENAMED.items()
    ]
