from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    """Reads all ratings while pages go on: 0053 has added these constraints for new rows."""

    dependencies = [
        ("annotation", "0054_stored_files_are_for_every_host"),
    ]

    operations = [
        ValidateConstraint("rating", name="ratings_on_other_axes_are_1_to_7"),
        ValidateConstraint("rating", name="an_image_is_rated_on_some_axis"),
    ]
