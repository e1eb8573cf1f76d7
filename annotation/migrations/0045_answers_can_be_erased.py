from django.db import migrations

# The erasure of a person may remove what they once answered, and says so for its transaction.
ERASE = """
CREATE OR REPLACE FUNCTION annotation_keep_revisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND coalesce(current_setting('laurel.log', true), '') = 'erase' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'revisions are only added' USING ERRCODE = 'internal_error';
END $$;
"""
KEEP = """
CREATE OR REPLACE FUNCTION annotation_keep_revisions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'revisions are only added' USING ERRCODE = 'internal_error'; END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0044_actions_are_sealed"),
    ]

    operations = [migrations.RunSQL(ERASE, KEEP)]
