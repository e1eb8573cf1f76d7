import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0026_assignments_are_not_slots'),
        ('refl', '0006_studies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='samplingrun',
            name='because',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='samplingrun',
            name='requested_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='tuningrun',
            name='because',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='tuningrun',
            name='requested_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
    ]
