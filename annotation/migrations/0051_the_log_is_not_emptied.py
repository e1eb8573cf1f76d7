from django.db import migrations

# The triggers of 0044 see rows, and TRUNCATE none. What empties a database for tests says so by `laurel.log`.
GUARD = """
CREATE FUNCTION annotation_keep_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('laurel.log', true), '') <> 'empty' THEN
        RAISE EXCEPTION 'the log of actions is only added to' USING ERRCODE = 'internal_error';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER annotation_keep_all_actions BEFORE TRUNCATE ON annotation_action
FOR EACH STATEMENT EXECUTE FUNCTION annotation_keep_log();
CREATE TRIGGER annotation_keep_all_seals BEFORE TRUNCATE ON annotation_seal
FOR EACH STATEMENT EXECUTE FUNCTION annotation_keep_log();
"""
UNGUARD = """
DROP TRIGGER annotation_keep_all_seals ON annotation_seal;
DROP TRIGGER annotation_keep_all_actions ON annotation_action;
DROP FUNCTION annotation_keep_log();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0050_jobs_know_their_request'),
    ]

    operations = [migrations.RunSQL(GUARD, UNGUARD)]
