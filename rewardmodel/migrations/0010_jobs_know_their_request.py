"""Jobs know the request that asked for them, and how often a silent worker lost them."""

from django.db import migrations, models

JOBS = ("trainingrun", "evaluationrun", "selectionrun")


class Migration(migrations.Migration):
    dependencies = [("rewardmodel", "0009_checkpoints_order_open_tasks")]

    operations = [
        operation
        for job in JOBS
        for operation in (
            migrations.AddField(job, "losses", models.PositiveIntegerField(default=0, db_default=0)),
            migrations.AddField(
                job, "request_id", models.CharField(blank=True, default="", db_default="", max_length=64)
            ),
        )
    ]
