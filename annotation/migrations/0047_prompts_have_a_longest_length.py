import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0046_unsent_forms_wait'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='longest_prompt',
            field=models.PositiveIntegerField(default=2000, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(20000)], verbose_name='letters that a prompt may have'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('longest_prompt__range', (1, 20000))), name='a_longest_prompt_is_1_to_20000'),
        ),
    ]
