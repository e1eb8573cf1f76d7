from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0031_actions_name_prompts"),
    ]

    operations = [
        migrations.AddField(
            model_name="assignment",
            name="is_order_imported",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="assignment",
            name="imported_seconds",
            field=models.FloatField(null=True),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.CheckConstraint(
                condition=models.Q(("imported_seconds__gte", 0)),
                name="an_imported_answer_took_no_negative_time",
            ),
        ),
    ]
