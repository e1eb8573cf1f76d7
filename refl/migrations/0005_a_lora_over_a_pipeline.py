from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("refl", "0004_the_best_of_several_candidates")]

    operations = [
        migrations.AddField(
            model_name="generator",
            name="lora",
            field=models.CharField(blank=True, max_length=500, verbose_name="LoRA file"),
        ),
    ]
