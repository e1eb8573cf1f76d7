from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("refl", "0002_runs_are_jobs")]

    operations = [
        migrations.AddField(
            model_name="generator",
            name="is_seen",
            field=models.BooleanField(default=True, verbose_name="its pipeline was looked at"),
        ),
    ]
