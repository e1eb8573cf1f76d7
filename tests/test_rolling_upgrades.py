"""The release before lives on the schema of this one, while its hosts are replaced one by one."""

import re

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from annotation.models import Export
from tests.cast import *  # noqa: F403
from tests.test_architecture import OURS

# The newest migration of each app in the release before; a release moves this on.
BEFORE = {
    "annotation": "0049_a_cache_is_shared",
    "rewardmodel": "0009_checkpoints_order_open_tasks",
    "refl": "0010_studies_know_when_they_were_looked_at",
}
# Migrations that must do otherwise -> why old code survives them.
EXCEPTIONS: dict[str, str] = {}
TAKES_AWAY = (
    migrations.RenameField,
    migrations.RenameModel,
    migrations.RemoveField,
    migrations.DeleteModel,
    migrations.AlterModelTable,
)
A_CHECK = models.CheckConstraint(name="exports_end", condition=models.Q(attempt__lt=9))
SQL_TAKES_AWAY = re.compile(r"\b(RENAME|DROP\s+(COLUMN|TABLE)|SET\s+NOT\s+NULL)\b", re.IGNORECASE)


def may_be_left_out(field):
    """Whether an INSERT may leave out the field's column."""
    return field.many_to_many or field.null or field.has_db_default() or field.primary_key


def faults(operation):
    """What a migration's operation does that the release before does not survive."""
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return [fault for each in operation.database_operations for fault in faults(each)]
    if isinstance(operation, TAKES_AWAY):
        return [f"{operation.describe()}: old code still uses it"]
    if isinstance(operation, migrations.AddField | migrations.AlterField):
        if may_be_left_out(operation.field):
            return []
        if isinstance(operation, migrations.AlterField) and not operation.field.null:
            return []  # looked at below, where it may have been null before
        return [f"{operation.describe()}: old code leaves it out; give it a db_default"]
    reads_rows = type(operation) is migrations.AddConstraint
    if reads_rows and isinstance(operation.constraint, models.CheckConstraint):
        return [f"{operation.describe()}: pages wait while all rows are read; add it as not valid"]
    if isinstance(operation, migrations.RunSQL) and SQL_TAKES_AWAY.search(str(operation.sql)):
        return ["SQL that renames, drops or forbids nulls"]
    return []


@pytest.fixture(scope="module")
def loader():
    return MigrationLoader(None)


def new_migrations(loader):
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS and name > BEFORE.get(app, ""):
            yield f"{app}.{name}", migration


def test_new_migrations_take_nothing_away_and_ask_for_nothing_new(loader):
    told = {
        name: [f for each in one.operations for f in faults(each)] for name, one in new_migrations(loader)
    }
    assert {name: these for name, these in told.items() if these and name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= {name for name, these in told.items() if these}


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RenameField("export", "format", "form"),
        migrations.RemoveField("export", "format"),
        migrations.DeleteModel("export"),
        migrations.AddField("export", "tries", models.IntegerField(default=0)),
        migrations.AddConstraint("export", A_CHECK),
        migrations.RunSQL("ALTER TABLE annotation_export DROP COLUMN format"),
        migrations.SeparateDatabaseAndState([migrations.RemoveField("export", "format")]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_old_code_would_not_survive_is_recognised(operation):
    assert faults(operation)


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("export", "tries", models.IntegerField(default=0, db_default=0)),
        migrations.AddField("export", "at", models.DateTimeField(null=True)),
        AddConstraintNotValid("export", A_CHECK),
        migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("export", "format")]),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_old_code_survives_is_not(operation):
    assert faults(operation) == []


@pytest.fixture(scope="module")
def old_apps(loader):
    """The models of the release before."""
    others = [node for node in loader.graph.leaf_nodes() if node[0] not in BEFORE]
    nodes = [*others, *BEFORE.items()]
    return loader.project_state([node for node in nodes if node[0] != "demo"]).apps


def column_faults(fields, columns):
    """What old code with these fields does not survive in a table: (not null, has a default) by column."""
    old = {field.column: field for field in fields}
    wrong = [f"{column} is gone" for column in old.keys() - columns.keys()]
    for column, (not_null, has_default) in columns.items():
        if column not in old and not_null and not has_default:
            wrong.append(f"{column} has no default")
        elif column in old and old[column].null and not_null:  # old code writes NULL: no default helps
            wrong.append(f"{column} may be null no more")
    return wrong


@pytest.mark.parametrize(
    ("null", "columns", "expected"),
    [
        (True, {}, ["score is gone"]),
        (True, {"score": (True, False)}, ["score may be null no more"]),
        (True, {"score": (True, True)}, ["score may be null no more"]),
        (True, {"score": (False, False), "weight": (True, False)}, ["weight has no default"]),
        (False, {"score": (True, False), "weight": (True, True), "note": (False, False)}, []),
    ],
)
def test_columns_that_old_models_would_miss_are_recognised(null, columns, expected):
    field = models.IntegerField(null=null)
    field.set_attributes_from_name("score")
    assert column_faults([field], columns) == expected


@pytest.mark.django_db
def test_old_models_find_their_columns_and_may_write_what_they_write(old_apps):
    wrong = []
    with connection.cursor() as cursor:
        for model in old_apps.get_models():
            if model._meta.app_label not in BEFORE:
                continue
            cursor.execute(
                "SELECT column_name, is_nullable = 'NO', column_default IS NOT NULL OR is_identity = 'YES' "
                "FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
                [model._meta.db_table],
            )
            columns = {name: facts for name, *facts in cursor.fetchall()}
            fields = model._meta.local_concrete_fields
            wrong += [f"{model._meta.db_table}.{fault}" for fault in column_faults(fields, columns)]
    assert wrong == []


def test_old_code_queues_moves_and_reads_jobs_and_new_code_goes_on_with_them(old_apps, project, ada):
    old = old_apps.get_model("annotation", "Export").objects
    at = timezone.now()
    queued = old.create(
        project_id=project.pk, requested_by_id=ada.pk, format="csv", accepted_until=at, created_at=at
    )
    assert old.filter(pk=queued.pk, state="queued").update(state="running", heartbeat=at, attempt=1) == 1
    export = Export.objects.get(pk=queued.pk)
    assert (export.state, export.losses, export.request_id) == ("running", 0, "")
    assert old.get(pk=export.pk).attempt == 1
