from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0033_stored_files_are_looked_at")]

    operations = [
        migrations.AddField("user", "skeleton", models.CharField(editable=False, max_length=600, null=True)),
    ]
