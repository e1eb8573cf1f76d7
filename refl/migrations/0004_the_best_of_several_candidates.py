import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("refl", "0003_a_pipeline_is_seen")]

    operations = [
        migrations.AddField(
            model_name="samplingrun",
            name="best_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="best_of_samplings",
                to="rewardmodel.rewardcheckpoint",
            ),
        ),
    ]
