from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("annotation", "0041_requests_are_counted"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="asks_acceptable",
            field=models.BooleanField(
                default=False, verbose_name="ask down to which slot images are acceptable"
            ),
        ),
        migrations.AddField(
            model_name="ranking",
            name="acceptable_slots",
            field=models.PositiveSmallIntegerField(null=True),
        ),
        migrations.AddConstraint(
            model_name="ranking",
            constraint=models.CheckConstraint(
                condition=models.Q(("acceptable_slots__range", (0, 9))), name="acceptable_slots_are_0_to_9"
            ),
        ),
    ]
