from django.db import migrations, models
from django.db.models import Q

BEFORE = ["ordinary", "gold", "repeat", "training", "qualification", "reference"]
WITHOUT_STUDIES = {
    "an_assignments_kind_is_known": Q(kind__in=BEFORE),
    "only_checks_are_against_an_answer": Q(kind__in=["ordinary", "reference"], against=None)
    | (~Q(kind__in=["ordinary", "reference"]) & Q(against__isnull=False)),
    "only_ordinary_assignments_are_open": Q(kind="ordinary") | ~Q(state="open"),
}
WITH_STUDIES = {
    "an_assignments_kind_is_known": Q(kind__in=["ordinary", "study", *BEFORE[1:]]),
    "only_checks_are_against_an_answer": Q(kind__in=["ordinary", "study", "reference"], against=None)
    | (~Q(kind__in=["ordinary", "study", "reference"]) & Q(against__isnull=False)),
    "only_opinions_are_open": Q(kind__in=["ordinary", "study"]) | ~Q(state="open"),
}
KINDS = [
    ("ordinary", "Ordinary"),
    ("study", "Study"),
    ("gold", "Gold"),
    ("repeat", "Repeat"),
    ("training", "Training"),
    ("qualification", "Qualification"),
    ("reference", "answered to compare with"),
]


class Migration(migrations.Migration):
    """A prompt may be a task of a study, answered by assignments of a kind of their own."""

    dependencies = [("annotation", "0026_assignments_are_not_slots")]

    operations = [
        migrations.AddField("prompt", "is_of_study", models.BooleanField(default=False)),
        migrations.AddField("prompt", "closed_at", models.DateTimeField(null=True)),
        migrations.AlterField(
            "assignment", "kind", models.CharField(choices=KINDS, default="ordinary", max_length=13)
        ),
        *(migrations.RemoveConstraint("assignment", name) for name in WITHOUT_STUDIES),
        *(
            migrations.AddConstraint("assignment", models.CheckConstraint(condition=condition, name=name))
            for name, condition in WITH_STUDIES.items()
        ),
    ]
