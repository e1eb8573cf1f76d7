from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0035_skeletons_are_written")]

    operations = [
        migrations.AlterField(
            "user", "skeleton", models.CharField(editable=False, max_length=600, null=True, unique=True)
        ),
    ]
