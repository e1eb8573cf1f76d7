from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0036_names_do_not_look_alike")]

    operations = [
        migrations.AddField(
            "signinattempt",
            "device",
            models.CharField(blank=True, default="", max_length=64),
            preserve_default=False,
        ),
    ]
