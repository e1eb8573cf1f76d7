from django.db import migrations, models


class Migration(migrations.Migration):
    # Drafts of before are not taken over: they name images by ids, which answers no longer do.

    dependencies = [
        ("annotation", "0004_scores_know_what_was_learned"),
    ]

    operations = [
        migrations.DeleteModel(
            name="Draft",
        ),
        migrations.AddField(
            model_name="assignment",
            name="draft",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="assignment",
            name="drafted_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("draft__isnull", False), ("drafted_at__isnull", False), ("state", "leased")),
                    models.Q(("draft__isnull", True), ("drafted_at__isnull", True)),
                    _connector="OR",
                ),
                name="only_a_task_in_hand_has_a_draft",
            ),
        ),
    ]
