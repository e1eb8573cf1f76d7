import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('annotation', '0001_people_projects_and_judgements'),
        ('rewardmodel', '0001_datasets_runs_and_checkpoints'),
    ]

    operations = [
        migrations.CreateModel(
            name='Generator',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('pipeline', models.CharField(blank=True, max_length=500, verbose_name='diffusers pipeline')),
                ('kept', models.BooleanField(default=None, null=True)),
                ('reason', models.TextField(blank=True)),
                ('metrics', models.JSONField(default=dict)),
                ('steps', models.PositiveSmallIntegerField(default=50, verbose_name='denoising steps of a sample')),
                ('guidance_scale', models.FloatField(default=7.5, verbose_name='guidance scale of a sample, 1 for none')),
                ('pretraining', models.CharField(blank=True, max_length=500, verbose_name='pre-training pairs')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('parent', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='refl.generator')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='generators', to='annotation.project')),
            ],
            options={
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='TuningRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('finished', 'Finished'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=9)),
                ('config', models.JSONField(default=dict)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('crashes', models.PositiveSmallIntegerField(default=0)),
                ('not_before', models.DateTimeField(null=True)),
                ('heartbeat', models.DateTimeField(null=True)),
                ('step', models.PositiveIntegerField(default=0)),
                ('steps', models.PositiveIntegerField(default=0)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('seconds', models.FloatField(default=0.0)),
                ('peak_memory', models.PositiveBigIntegerField(null=True)),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tunings', to='rewardmodel.rewardcheckpoint')),
                ('generator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tunings', to='refl.generator')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='%(class)ss', to='annotation.project')),
            ],
            options={
                'ordering': ['-pk'],
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='TuningPoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('step', models.PositiveIntegerField()),
                ('values', models.JSONField()),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='points', to='refl.tuningrun')),
            ],
            options={
                'ordering': ['step'],
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='generator',
            name='run',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='result', to='refl.tuningrun'),
        ),
        migrations.CreateModel(
            name='SamplingRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('finished', 'Finished'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', max_length=9)),
                ('config', models.JSONField(default=dict)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('crashes', models.PositiveSmallIntegerField(default=0)),
                ('not_before', models.DateTimeField(null=True)),
                ('heartbeat', models.DateTimeField(null=True)),
                ('step', models.PositiveIntegerField(default=0)),
                ('steps', models.PositiveIntegerField(default=0)),
                ('cancel_requested', models.BooleanField(default=False)),
                ('error', models.TextField(blank=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('seconds', models.FloatField(default=0.0)),
                ('peak_memory', models.PositiveBigIntegerField(null=True)),
                ('checkpoint', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='samplings', to='rewardmodel.rewardcheckpoint')),
                ('generator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='samplings', to='refl.generator')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='%(class)ss', to='annotation.project')),
            ],
            options={
                'ordering': ['-pk'],
                'abstract': False,
                'indexes': [models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['id'], name='samplingrun_active')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running', 'finished', 'failed', 'cancelled'])), name='samplingrun_state_is_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), models.Q(('heartbeat__isnull', False), ('started_at__isnull', False)), _connector='OR'), name='samplingrun_at_work_has_a_heart'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state__in', ['queued', 'running'])), models.Q(('finished_at__isnull', False), ('state__in', ['finished', 'failed', 'cancelled'])), _connector='OR'), name='samplingrun_over_has_its_time')],
            },
        ),
        migrations.CreateModel(
            name='TuningPolicy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('enabled', models.BooleanField(default=False, verbose_name='tune and generate by itself')),
                ('config', models.JSONField(blank=True, default=dict)),
                ('prompts_per_round', models.PositiveIntegerField(default=64, validators=[django.core.validators.MinValueValidator(1)], verbose_name='prompts that get images after a tuning')),
                ('images_per_prompt', models.PositiveSmallIntegerField(default=4, validators=[django.core.validators.MinValueValidator(2)])),
                ('pool_factor', models.PositiveSmallIntegerField(default=4, validators=[django.core.validators.MinValueValidator(1)], verbose_name='prompts tried for each that is kept')),
                ('project', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='tuning_policy', to='annotation.project')),
            ],
            options={
                'verbose_name_plural': 'tuning policies',
                'constraints': [models.CheckConstraint(condition=models.Q(('prompts_per_round__gte', 1)), name='a_round_has_a_prompt'), models.CheckConstraint(condition=models.Q(('images_per_prompt__gte', 2)), name='a_prompt_gets_2_images'), models.CheckConstraint(condition=models.Q(('pool_factor__gte', 1)), name='a_pool_is_a_round_or_more')],
            },
        ),
        migrations.AddIndex(
            model_name='tuningrun',
            index=models.Index(condition=models.Q(('state__in', ['queued', 'running'])), fields=['id'], name='tuningrun_active'),
        ),
        migrations.AddConstraint(
            model_name='tuningrun',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running', 'finished', 'failed', 'cancelled'])), name='tuningrun_state_is_known'),
        ),
        migrations.AddConstraint(
            model_name='tuningrun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), models.Q(('heartbeat__isnull', False), ('started_at__isnull', False)), _connector='OR'), name='tuningrun_at_work_has_a_heart'),
        ),
        migrations.AddConstraint(
            model_name='tuningrun',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('state__in', ['queued', 'running'])), models.Q(('finished_at__isnull', False), ('state__in', ['finished', 'failed', 'cancelled'])), _connector='OR'), name='tuningrun_over_has_its_time'),
        ),
        migrations.AddConstraint(
            model_name='tuningpoint',
            constraint=models.UniqueConstraint(fields=('run', 'step'), name='tuningpoint_measures_a_step_once'),
        ),
        migrations.AddConstraint(
            model_name='generator',
            constraint=models.UniqueConstraint(fields=('project', 'name'), name='a_generator_name_is_used_once'),
        ),
        migrations.AddConstraint(
            model_name='generator',
            constraint=models.CheckConstraint(condition=models.Q(('run', None), ('parent__isnull', False), _connector='OR'), name='a_tuned_generator_has_a_parent'),
        ),
        migrations.AddConstraint(
            model_name='generator',
            constraint=models.CheckConstraint(condition=models.Q(('kept', None), models.Q(('reason', ''), _negated=True), _connector='OR'), name='a_judged_generator_says_why'),
        ),
        migrations.AddConstraint(
            model_name='generator',
            constraint=models.CheckConstraint(condition=models.Q(('steps__gte', 1)), name='a_sample_takes_a_step'),
        ),
        migrations.AddConstraint(
            model_name='generator',
            constraint=models.CheckConstraint(condition=models.Q(('guidance_scale__gte', 1)), name='guidance_is_1_or_more'),
        ),
    ]
