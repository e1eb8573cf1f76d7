import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0026_assignments_are_not_slots'),
        ('refl', '0007_runs_know_who_asked_and_why'),
    ]

    operations = [
        migrations.CreateModel(
            name='StepRefusal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('step', models.CharField(max_length=20)),
                ('reason', models.TextField()),
                ('at', models.DateTimeField(auto_now=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='step_refusals', to='annotation.project')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('project', 'step'), name='a_step_has_one_refusal')],
            },
        ),
    ]
