import django.db.models.lookups
from django.contrib.postgres.operations import AddConstraintNotValid
from django.core.management import CommandError
from django.db import migrations, models
from django.db.models import Q


def refuse_to_lose(apps, schema_editor):
    """Without this migration, ratings have the paper's three axes and no others."""
    named = apps.get_model("annotation", "Project").objects.exclude(axes=None)
    rated = apps.get_model("annotation", "Rating").objects.filter(
        Q(others__isnull=False) | Q(overall=None) | Q(alignment=None) | Q(fidelity=None)
    )
    slugs = {*named.values_list("slug", flat=True), *rated.values_list("assignment__project__slug", flat=True)}
    if slugs:
        raise CommandError(f"{', '.join(sorted(slugs))}: images are rated on axes that an earlier version lacks")


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0052_mails_wait_in_rows"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="axes",
            field=models.JSONField(blank=True, null=True, verbose_name="what images are rated on"),
        ),
        migrations.AddField(
            model_name="rating",
            name="others",
            field=models.JSONField(null=True),
        ),
        *(
            migrations.AlterField(
                model_name="rating",
                name=name,
                field=models.PositiveSmallIntegerField(null=True),
            )
            for name in ("overall", "alignment", "fidelity")
        ),
        # Not valid, as pages wait for this transaction and ratings are many: 0055 reads them.
        AddConstraintNotValid(
            model_name="rating",
            constraint=models.CheckConstraint(
                condition=django.db.models.lookups.Exact(
                    models.Func(
                        "others",
                        output_field=models.BooleanField(),
                        template="jsonb_path_exists(%(expressions)s, "
                        """'$.* ? (@.type() != "number" || @ < 1 || @ > 7 || @.floor() != @)')""",
                    ),
                    False,
                ),
                name="ratings_on_other_axes_are_1_to_7",
            ),
        ),
        AddConstraintNotValid(
            model_name="rating",
            constraint=models.CheckConstraint(
                condition=Q(
                    ("overall__isnull", False),
                    ("alignment__isnull", False),
                    ("fidelity__isnull", False),
                    ("others__isnull", False),
                    _connector="OR",
                ),
                name="an_image_is_rated_on_some_axis",
            ),
        ),
        migrations.RunPython(migrations.RunPython.noop, refuse_to_lose),
    ]
