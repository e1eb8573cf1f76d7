"""The log cannot be changed without trace, also by who can write SQL."""

import logging
import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError, connection, transaction
from django.test import Client

from annotation.management.commands.doctor import check_actions
from annotation.models import Action, Seal
from annotation.selectors.log import check_log
from annotation.services.actions import record_action, shorten_log
from annotation.tasks import verify_log
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW

Kind = Action.Kind


def by_force(statement):
    """As somebody does it who owns the database."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as a commit does: what is logged is sealed
        for table in ("action", "seal"):
            cursor.execute(f"ALTER TABLE annotation_{table} DISABLE TRIGGER USER")
        cursor.execute(statement)
        for table in ("action", "seal"):
            cursor.execute(f"ALTER TABLE annotation_{table} ENABLE TRIGGER USER")


def seal():
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def logged(project, ada):
    """Five entries and those of the project itself. Returns: the id of the third."""
    for number in range(5):
        record_action(Kind.WORK_OPENED, project=project, by=ada, subject=f"{number}", opinions=number)
    seal()
    return Action.objects.get(subject="2").pk


def test_a_log_that_nobody_touched_is_whole(logged, project, ada):
    before = check_log()
    assert before.fault == ""
    assert before.entries == Action.objects.count() == Seal.objects.count()
    record_action(Kind.WORK_OPENED, project=project, by=None, subject="ü", prompt_ids=[3, 4], reason="“x”")
    seal()
    after = check_log(expected=before.newest)
    assert (after.fault, after.entries) == ("", before.entries + 1)
    call_command("verify_log", "--expect", before.newest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE annotation_action SET subject = '9' WHERE id = {0}", "whom or what it concerns was changed"),
        (
            "UPDATE annotation_action SET details = '{{}}' WHERE id = {0}",
            "whom or what it concerns was changed",
        ),
        ("UPDATE annotation_action SET actor_id = NULL WHERE id = {0}", "who did what, where or when"),
        ("UPDATE annotation_action SET kind = 'x' WHERE id = {0}", "who did what, where or when"),
        ("UPDATE annotation_action SET at = at - interval '1 us' WHERE id = {0}", "who did what, where or"),
        ("DELETE FROM annotation_action WHERE id = {0}", "the action is gone"),
        ("DELETE FROM annotation_seal WHERE action_id = {0}", "is gone: entry"),
        (
            "DELETE FROM annotation_seal WHERE action_id = {0}; DELETE FROM annotation_action WHERE id = {0}",
            "is gone: entry",
        ),
        ("UPDATE annotation_seal SET hash = repeat('0', 64) WHERE action_id = {0}", "was changed"),
        (
            "UPDATE annotation_seal SET previous = '' WHERE action_id = {0}",
            "does not follow the entry before",
        ),
        (
            "INSERT INTO annotation_action (kind, subject, details, prompt_ids, at) "
            "VALUES ('x', '', '{{}}', '{{}}', now())",
            "has no seal: it was put in past the log",
        ),
        (
            "UPDATE annotation_action SET subject = 'erased' WHERE id = {0}; "
            "UPDATE annotation_seal SET salt = '' WHERE action_id = {0}",
            "1 entries were erased, and the log tells of 0: not of one of",
        ),
    ],
)
def test_a_change_by_force_is_named(change, said, logged):
    by_force(change.format(logged))
    check = check_log()
    assert said in check.fault
    with pytest.raises(CommandError, match=r"entries before are as they were written"):
        call_command("verify_log")
    [finding] = check_actions()
    assert finding.result == check.fault
    assert finding.advice


def test_the_log_is_not_emptied_by_one_statement(logged):
    for table in ("action", "seal"):
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SET LOCAL laurel.log = ''")
            with pytest.raises(InternalError, match="only added to"):
                cursor.execute(f"TRUNCATE annotation_{table} CASCADE")
            transaction.set_rollback(True)


def test_an_end_that_was_cut_shows_by_a_seal_noted_elsewhere(logged):
    newest = check_log().newest
    by_force(
        f"DELETE FROM annotation_seal WHERE action_id > {logged};"
        f"DELETE FROM annotation_action WHERE id > {logged}"
    )
    assert check_log().fault == ""
    assert "its end or its beginning was cut" in check_log(expected=newest).fault


def test_the_check_of_each_day_notes_the_newest_seal_or_the_fault(logged, caplog, settings, tmp_path):
    settings.VAR = tmp_path
    caplog.set_level(logging.INFO, logger="annotation.tasks")
    newest = check_log().newest
    verify_log()
    assert caplog.messages == [f"The log is whole: 6 entries, the newest is {newest}"]
    assert (tmp_path / "log_newest_seal").read_text() == f"{newest}\n"
    by_force("DELETE FROM annotation_seal; DELETE FROM annotation_action")
    verify_log()
    assert caplog.records[1].levelname == "ERROR"
    assert caplog.messages[1].endswith(f"{newest} is not in the log: its end or its beginning was cut")


@pytest.mark.parametrize(("days", "level"), [(30, "INFO"), (0, "ERROR")])
def test_a_noted_seal_that_was_removed_as_too_old_is_missed_only_where_nothing_is_removed(
    logged, caplog, settings, tmp_path, days, level
):
    settings.VAR, settings.LOG_DAYS = tmp_path, days
    caplog.set_level(logging.INFO, logger="annotation.tasks")
    old = Seal.objects.get(action=logged)
    note = tmp_path / "log_newest_seal"
    note.write_text(f"{old.number}:{old.hash}\n")
    shorten_log(now=Action.objects.get(subject="4").at, days=0)
    seal()
    verify_log()
    assert [record.levelname for record in caplog.records] == [level]
    assert (note.read_text() == f"{check_log().newest}\n") == bool(days)


@pytest.mark.django_db(transaction=True)
def test_two_transactions_at_once_are_sealed_one_after_the_other_and_neither_waits_while_it_works(
    project, ada
):
    """The first logs, and commits only when the second has logged and committed."""

    def second():
        try:
            record_action(Kind.WORK_OPENED, project=None, by=None, subject="second")
        finally:
            connection.close()

    with transaction.atomic():
        record_action(Kind.WORK_OPENED, project=None, by=None, subject="first")
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=60)
        assert not thread.is_alive()
    seals = Seal.objects.order_by("-number").select_related("action")[:2]
    assert [seal.action.subject for seal in seals] == ["first", "second"]
    assert check_log().fault == ""


def test_old_entries_are_removed_and_the_rest_can_still_be_checked(logged, project):
    newest = check_log().newest
    assert shorten_log(now=Action.objects.get(pk=logged).at, days=0) > 0
    seal()
    assert not Action.objects.filter(pk__lt=logged).exists()
    check = check_log(expected=newest)
    assert check.fault == ""
    assert check.entries == Action.objects.count() == 4
    assert Action.objects.first().details["hash"]
    by_force(
        f"DELETE FROM annotation_seal WHERE action_id = {logged}; DELETE FROM annotation_action "
        f"WHERE id = {logged}"
    )
    assert "is gone" in check_log().fault


@pytest.mark.django_db(transaction=True)
def test_a_log_that_is_shortened_while_it_is_read_is_whole(logged):
    """The removal is committed after the check has read where the log begins, before it reads the entries."""
    removed = []

    def remove():
        try:
            removed.append(shorten_log(now=Action.objects.get(pk=logged).at, days=0))
        finally:
            connection.close()

    def remove_before_the_entries(execute, sql, *arguments):
        if "annotation_action_words" in sql and not removed:
            thread = threading.Thread(target=remove)
            thread.start()
            thread.join(timeout=60)
        return execute(sql, *arguments)

    count = Action.objects.count()
    with connection.execute_wrapper(remove_before_the_entries):
        check = check_log()
    assert removed
    assert (check.fault, check.entries) == ("", count)
    assert check_log().fault == ""


def test_nothing_is_removed_that_is_not_old_enough(logged):
    assert shorten_log(now=NOW, days=30) == 0


def test_sign_ins_failures_and_sign_outs_are_logged_with_their_address(alice):
    alice.set_password("a long secret")
    alice.save()
    client = Client(REMOTE_ADDR="192.0.2.7")
    for name, password in (("alice", "wrong"), ("my-secret-typed-here", "wrong"), ("alice", "a long secret")):
        client.post("/sign-in/", {"username": name, "password": password})
    client.post("/sign-out/")
    rows = Action.objects.order_by("-pk").values_list("kind", "actor__username", "subject", "details")[:4]
    address = {"address": "192.0.2.7"}
    assert list(rows)[::-1] == [
        (Kind.SIGN_IN_FAILED, None, "alice", address),
        (Kind.SIGN_IN_FAILED, None, "an unknown name", address),
        (Kind.SIGNED_IN, "alice", "alice", address),
        (Kind.SIGNED_OUT, "alice", "alice", address),
    ]


def test_a_refused_sign_in_leaves_no_password_in_the_log(alice):
    as_(alice)
    Client().post("/sign-in/", {"username": "hunter2", "password": "hunter2"})
    assert "hunter2" not in str(list(Action.objects.values()))


def test_nothing_is_logged_between_the_sealing_of_older_entries_and_the_trigger(db, capsys):
    call_command("sqlmigrate", "annotation", "0044")
    sql = capsys.readouterr().out
    lock = sql.index("LOCK TABLE annotation_action IN SHARE ROW EXCLUSIVE MODE")
    assert (
        sql.index("BEGIN;")
        < lock
        < sql.index("FOR action IN SELECT")
        < sql.index("CREATE CONSTRAINT TRIGGER")
    )
