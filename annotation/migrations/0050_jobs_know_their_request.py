"""Jobs know the request that asked for them, and how often a silent worker lost them."""

from django.db import migrations, models

JOBS = ("export", "upload")


class Migration(migrations.Migration):
    dependencies = [("annotation", "0049_a_cache_is_shared")]

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
