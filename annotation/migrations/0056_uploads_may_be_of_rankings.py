from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0055_ratings_hold_what_their_axes_promise"),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="ranking_options",
            field=models.JSONField(null=True),
        ),
    ]
