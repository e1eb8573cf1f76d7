"""The table of Django's DatabaseCache, which second factors and single sign-on use: as createcachetable makes it."""

from django.db import migrations

CREATE = """
CREATE TABLE annotation_cache (
    cache_key varchar(255) NOT NULL PRIMARY KEY,
    value text NOT NULL,
    expires timestamp with time zone NOT NULL
);
CREATE INDEX annotation_cache_expires ON annotation_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0048_uploads_are_imported_by_workers")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE annotation_cache")]
