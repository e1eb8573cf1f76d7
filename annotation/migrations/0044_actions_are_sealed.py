from django.db import migrations, models
import django.db.models.deletion

# Of an action: what its seal is over, beside the seal before. annotation.selectors.log reads the same.
CONTENT = """
CREATE FUNCTION annotation_action_words(action annotation_action) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT jsonb_build_array(action.subject, action.details)::text $$;
CREATE FUNCTION annotation_action_content(action annotation_action, number bigint, words text)
RETURNS text LANGUAGE sql STABLE AS $$
SELECT jsonb_build_array(
    number, action.id, action.project_id, action.actor_id, action.kind, to_jsonb(action.prompt_ids),
    to_char(action.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), words)::text $$;
"""
FORGET_CONTENT = """
DROP FUNCTION annotation_action_content(annotation_action, bigint, text);
DROP FUNCTION annotation_action_words(annotation_action);
"""
# At the end of the transaction: a lock is held while it commits, and not while it works.
SEAL = """
CREATE FUNCTION annotation_seal_action() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest annotation_seal;
    salt text := replace(gen_random_uuid()::text, '-', '');
    words text := encode(sha256(convert_to(salt || annotation_action_words(NEW), 'UTF8')), 'hex');
    number bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('annotation_seal', 0));
    SELECT * INTO newest FROM annotation_seal ORDER BY annotation_seal.number DESC LIMIT 1;
    number := coalesce(newest.number, 0) + 1;
    INSERT INTO annotation_seal (number, action_id, salt, words, previous, hash) VALUES (
        number, NEW.id, salt, words, coalesce(newest.hash, ''),
        encode(sha256(convert_to(
            coalesce(newest.hash, '') || annotation_action_content(NEW, number, words), 'UTF8')), 'hex'));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER annotation_seal_action AFTER INSERT ON annotation_action
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION annotation_seal_action();
"""
UNSEAL = """
DROP TRIGGER annotation_seal_action ON annotation_action;
DROP FUNCTION annotation_seal_action();
"""
# Until the trigger is there and committed, or what is logged meanwhile would have no seal.
LOCK = "LOCK TABLE annotation_action IN SHARE ROW EXCLUSIVE MODE"
# Those logged so far, in the order of their ids.
SEAL_OLDER = """
DO $$
DECLARE
    action annotation_action;
    previous text := '';
    salt text;
    words text;
    next text;
    number bigint := 0;
BEGIN
    FOR action IN SELECT * FROM annotation_action ORDER BY id LOOP
        number := number + 1;
        salt := replace(gen_random_uuid()::text, '-', '');
        words := encode(sha256(convert_to(salt || annotation_action_words(action), 'UTF8')), 'hex');
        next := encode(sha256(convert_to(
            previous || annotation_action_content(action, number, words), 'UTF8')), 'hex');
        INSERT INTO annotation_seal (number, action_id, salt, words, previous, hash)
        VALUES (number, action.id, salt, words, previous, next);
        previous := next;
    END LOOP;
END $$;
"""
# Two services may change the log, each in its own way, and say so for their transaction.
KEEP = """
CREATE OR REPLACE FUNCTION annotation_keep_actions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    purpose text := coalesce(current_setting('laurel.log', true), '');
BEGIN
    IF TG_OP = 'DELETE' AND purpose = 'shorten' THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND purpose = 'erase' AND
        to_jsonb(OLD) - array['subject', 'details', 'salt'] = to_jsonb(NEW) - array['subject', 'details', 'salt'] THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the log of actions is only added to' USING ERRCODE = 'internal_error';
END $$;
CREATE TRIGGER annotation_keep_seals BEFORE UPDATE OR DELETE ON annotation_seal
FOR EACH ROW EXECUTE FUNCTION annotation_keep_actions();
"""
KEEP_ALL = """
DROP TRIGGER annotation_keep_seals ON annotation_seal;
CREATE OR REPLACE FUNCTION annotation_keep_actions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the log of actions is only added to' USING ERRCODE = 'internal_error'; END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0043_scores_know_their_scale"),
    ]

    operations = [
        migrations.CreateModel(
            name="Seal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("salt", models.CharField(blank=True, max_length=32)),
                ("words", models.CharField(max_length=64)),
                ("previous", models.CharField(blank=True, max_length=64)),
                ("hash", models.CharField(max_length=64)),
                (
                    "action",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="seal",
                        to="annotation.action",
                    ),
                ),
            ],
        ),
        migrations.RunSQL(CONTENT, FORGET_CONTENT),
        migrations.RunSQL(LOCK, migrations.RunSQL.noop),
        migrations.RunSQL(SEAL_OLDER, migrations.RunSQL.noop),
        migrations.RunSQL(SEAL, UNSEAL),
        migrations.RunSQL(KEEP, KEEP_ALL),
    ]
