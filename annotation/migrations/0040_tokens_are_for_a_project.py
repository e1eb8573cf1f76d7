import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0039_sessions_go_on")]

    operations = [
        migrations.AddField(
            "apitoken",
            "project",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="api_tokens",
                to="annotation.project",
            ),
        ),
    ]
