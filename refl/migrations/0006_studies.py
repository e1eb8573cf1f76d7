import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

CLOSED = Q(state="closed")


def key() -> tuple[str, models.BigAutoField]:
    return "id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    """Blind studies: what is compared, and the tasks that are asked."""

    dependencies = [
        ("annotation", "0027_studies_have_tasks"),
        ("refl", "0005_a_lora_over_a_pipeline"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Study",
            fields=[
                key(),
                ("name", models.CharField(max_length=120)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("drawing", "Its images are being made"),
                            ("open", "Annotators are asked"),
                            ("closed", "Closed"),
                        ],
                        default="drawing",
                        max_length=7,
                    ),
                ),
                ("reason", models.TextField(blank=True)),
                ("config", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("public_token", models.UUIDField(null=True, unique=True)),
                (
                    "opened_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="studies",
                        to="annotation.project",
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="study",
                        to="refl.samplingrun",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "verbose_name_plural": "studies",
                "indexes": [models.Index(fields=["id"], condition=~CLOSED, name="studies_under_way")],
                "constraints": [
                    models.UniqueConstraint(fields=["project", "name"], name="a_study_name_is_used_once"),
                    models.CheckConstraint(
                        name="a_study_state_is_known", condition=Q(state__in=["drawing", "open", "closed"])
                    ),
                    models.CheckConstraint(
                        name="a_closed_study_says_why",
                        condition=(~CLOSED & Q(closed_at=None, reason=""))
                        | (Q(state="closed", closed_at__isnull=False) & ~Q(reason="")),
                    ),
                    models.CheckConstraint(
                        name="an_open_study_has_its_time",
                        condition=~Q(state="open") | Q(opened_at__isnull=False),
                    ),
                    models.CheckConstraint(
                        name="a_study_drawing_has_asked_nobody",
                        condition=~Q(state="drawing") | Q(opened_at=None),
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StudyGenerator",
            fields=[
                key(),
                ("place", models.PositiveSmallIntegerField()),
                (
                    "generator",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="study_entries",
                        to="refl.generator",
                    ),
                ),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="entries", to="refl.study"
                    ),
                ),
            ],
            options={
                "ordering": ["place"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=["study", "generator"], name="a_study_has_a_generator_once"
                    ),
                    models.UniqueConstraint(
                        fields=["study", "place"], name="a_place_in_a_study_is_taken_once"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="study",
            name="generators",
            field=models.ManyToManyField(
                related_name="studies", through="refl.StudyGenerator", to="refl.generator"
            ),
        ),
        migrations.CreateModel(
            name="StudyTask",
            fields=[
                key(),
                ("caption", models.PositiveIntegerField()),
                ("seed", models.BigIntegerField()),
                ("places", models.JSONField()),
                ("category", models.CharField(blank=True, max_length=13)),
                ("withdrawn", models.TextField(blank=True)),
                (
                    "prompt",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="study_task",
                        to="annotation.prompt",
                    ),
                ),
                (
                    "study",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tasks", to="refl.study"
                    ),
                ),
            ],
            options={"ordering": ["pk"]},
        ),
    ]
