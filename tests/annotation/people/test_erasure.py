"""A person may have their data and may be erased: nothing names them then, and the log is still whole."""

import json
import threading
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotation.models import (
    Action,
    ApiToken,
    Assignment,
    Event,
    Membership,
    Ranking,
    Reference,
    Revision,
    Skip,
    User,
)
from annotation.selectors.log import check_log
from annotation.selectors.own_data import own_data
from annotation.services.actions import record_action
from annotation.services.assignments.assignments import claim_next
from annotation.services.assignments.skips import skip_task
from annotation.services.checks.pauses import pause
from annotation.services.erasure.people import CannotErase, erase_person
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.revisions import revise_judgement
from annotation.services.people.tokens import issue_token
from annotation.services.projects.projects import add_member
from annotation.services.webhooks.webhooks import create_webhook
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck

State = Assignment.State


@pytest.fixture
def carol(project, ada, rita, a_project, a_prompt):
    """Somebody who left traces everywhere: two answers, one of them revised, a skip, a task in hand."""
    project = a_project(skips_per_hundred=50, review_share=0.0, asks_label=False)
    carol = User.objects.create_user("carol", "carol@example.org", "a long secret", first_name="Carol")
    add_member(project=project, user=carol, role="annotator", by=ada)
    add_member(project=project, user=rita, role="inspector", by=ada)
    create_webhook(project=project, by=ada, url="https://example.org/", kinds=["judgement.submitted"])
    project.refresh_from_db()
    for _ in range(4):
        a_prompt(project=project)
    for _ in range(2):
        task = claim_next(annotator=carol, project=project, now=NOW, generator=luck())
        answer = {"assignment": task, "annotator": carol, "judgement": answer_for(task), "now": NOW}
        submit_judgement(**answer, generator=luck())
    task.refresh_from_db()
    revise_judgement(
        assignment=task,
        annotator=carol,
        judgement=answer_for(task, slots=[1, 2, 3]),
        version=task.version,
        now=NOW + timedelta(minutes=1),
    )
    task = claim_next(annotator=carol, project=project, now=NOW, generator=luck())
    skip_task(assignment=task, annotator=carol, reason="unfit", note="Ask Carol", now=NOW)
    claim_next(annotator=carol, project=project, now=NOW, generator=luck())
    pause(annotator=carol, project=project, reason="Carol is hasty, unlike carola", by=rita, now=NOW)
    issue_token(user=carol, name="mine", days=None, now=NOW)
    Client(REMOTE_ADDR="192.0.2.7").post("/sign-in/", {"username": "carol", "password": "a long secret"})
    return carol


def everything():
    """Every row of every table, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT to_jsonb(rows)::text FROM "{table}" AS rows')
            yield from (f"{table}: {row}" for (row,) in cursor.fetchall())


def naming(name):
    return [row for row in everything() if name in row.lower().replace("carola", "")]


def test_nothing_names_an_erased_person_and_the_log_is_still_whole(carol, rita):
    assert naming("carol")
    newest = check_log().newest
    erased = erase_person(carol, keep_answers=True)
    assert naming("carol") == []
    assert naming("192.0.2.7") == []
    assert "unlike carola" in "".join(everything())
    assert (erased.answers, erased.staying) == (0, 3)
    assert erased.entries == 4  # token made, role given, paused, signed in
    check = check_log(expected=newest)
    assert check.fault == ""
    told = Action.objects.first().details
    assert (told["entries"], len(told["rewritten"])) == (erased.entries, erased.entries)
    # An entry that was erased is no blank: what stands there now is told of too.
    first = min(map(int, told["rewritten"]))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL laurel.log = 'erase'")
    before = Action.objects.get(seal__number=first).subject
    Action.objects.filter(seal__number=first).update(subject="somebody else")
    assert check_log().fault == f"entry {first} was changed after it was erased"
    Action.objects.filter(seal__number=first).update(subject=before)
    assert check_log().fault == ""

    carol.refresh_from_db()
    assert carol.username == erased.pseudonym
    assert not carol.is_active
    assert not carol.has_usable_password()
    assert not Membership.objects.filter(user=carol).exists()
    assert not ApiToken.objects.exists()
    assert Ranking.objects.filter(assignment__annotator=carol).count() == 2
    assert Revision.objects.exists()
    assert {event.data["annotator"] for event in Event.objects.all()} == {erased.pseudonym}
    # What was before them is asked of somebody else.
    assert not Assignment.objects.filter(state=State.LEASED).exists()
    assert Assignment.objects.filter(state=State.OPEN).count() == 2  # that, and the skipped one


def test_who_is_called_like_a_role_leaves_the_roles_in_the_log(project, ada):
    person = User.objects.create_user("annotator")
    add_member(project=project, user=person, role="annotator", by=ada)
    list(everything())  # what is logged is sealed
    erased = erase_person(person, keep_answers=True)
    action = Action.objects.get(kind=Action.Kind.MEMBER_ADDED, subject=erased.pseudonym)
    assert action.details == {"role": "annotator"}


def test_what_is_said_of_others_stays_as_it_was_written(project, ada, rita, bob, eve, a_project):
    """Names may lie within other names, and be words, formats and addresses."""
    elsewhere = a_project()
    person = User.objects.create_user("low")
    for other in (project, elsewhere):
        add_member(project=other, user=User.objects.get_or_create(username="low-123")[0], role="annotator")
        record_action(Action.Kind.EXPORTED, project=other, by=ada, subject="low")
    add_member(project=project, user=person, role="annotator", by=ada)
    mine = pause(annotator=bob, project=project, reason="As Low, not low.smith. Ask low.", by=rita, now=NOW)
    other = pause(annotator=eve, project=elsewhere, reason="low quality", by=rita, now=NOW)
    list(everything())  # what is logged is sealed
    erased = erase_person(person, keep_answers=True)
    assert erased.entries == 2  # role given; the pause of somebody else that tells of them
    name = erased.pseudonym
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.reason == f"As {name}, not low.smith. Ask {name}."
    assert other.reason == "low quality"
    logged = Action.objects.filter(kind=Action.Kind.PAUSED).order_by("pk")
    assert [action.details["reason"] for action in logged] == [mine.reason, other.reason]
    subjects = list(Action.objects.values_list("subject", flat=True))
    assert (subjects.count("low"), subjects.count("low-123"), subjects.count(name)) == (2, 2, 2)


def test_answers_that_are_removed_are_asked_of_somebody_else(carol, project):
    wanted = Assignment.objects.exclude(state=State.SKIPPED).count()
    erased = erase_person(carol, keep_answers=False)
    assert (erased.answers, erased.staying) == (3, 0)
    assert not Assignment.objects.filter(annotator=carol).exists()
    assert not Ranking.objects.exists()
    assert not Revision.objects.exists()
    assert not Skip.objects.exists()
    assert Assignment.objects.filter(state=State.OPEN).count() == wanted == Assignment.objects.count()
    assert naming("carol") == []
    assert check_log().fault == ""


def test_an_answer_that_others_were_compared_with_stays(ada, eve, project, a_gold):
    a_gold(project)
    add_member(project=project, user=eve, role="admin", by=ada)
    Reference.objects.update(note="as ada says")
    erased = erase_person(ada, keep_answers=False)
    assert (erased.answers, erased.staying) == (0, 1)
    assert Reference.objects.get().note == f"as {erased.pseudonym} says"
    assert Assignment.objects.get(annotator=ada).annotator.username == erased.pseudonym


def test_who_alone_can_do_something_is_not_erased(ada, project):
    with pytest.raises(CannotErase, match="is the only admin of project-0"):
        erase_person(ada, keep_answers=True)
    root = User.objects.create_superuser("root")
    with pytest.raises(CommandError, match="root is the only superuser"):
        call_command("erase_person", "root", "--keep-answers")
    User.objects.create_superuser("another")
    call_command("erase_person", "root", "--keep-answers")
    root.refresh_from_db()
    assert not root.is_superuser
    with pytest.raises(CommandError, match="nobody is called 'root'"):
        call_command("erase_person", "root", "--keep-answers")


def test_an_admin_who_cannot_sign_in_is_no_other_admin(ada, eve, project):
    add_member(project=project, user=eve, role="admin", by=ada)
    User.objects.filter(pk=eve.pk).update(is_active=False)
    with pytest.raises(CannotErase, match="is the only admin of project-0"):
        erase_person(ada, keep_answers=True)


@pytest.mark.django_db(transaction=True)
def test_of_two_admins_who_are_erased_at_once_one_stays(ada, eve, project):
    add_member(project=project, user=eve, role="admin", by=ada)
    refusals = []

    def erase_the_other():
        try:
            erase_person(eve, keep_answers=True)
        except CannotErase as error:
            refusals.append(str(error))
        finally:
            connection.close()

    with transaction.atomic(), connection.cursor() as cursor:
        erase_person(ada, keep_answers=True)
        thread = threading.Thread(target=erase_the_other)
        thread.start()
        waiting = 0
        while thread.is_alive() and not waiting:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            (waiting,) = cursor.fetchone()
    thread.join(timeout=60)
    assert refusals == ["eve is the only admin of project-0: make another one first"]
    assert Membership.objects.get(project=project, role="admin").user == eve


def test_people_download_all_that_is_stored_about_them_and_nothing_that_is_hidden_from_them(carol, rita):
    response = as_(carol).get("/account/data/")
    assert response.headers["Content-Disposition"] == 'attachment; filename="carol.json"'
    text = b"".join(response.streaming_content).decode()
    data = json.loads(text)
    assert data["account"]["email"] == "carol@example.org"
    assert [role["role"] for role in data["roles"]] == ["annotator"]
    assert [token["name"] for token in data["tokens"]] == ["mine"]
    assert data["pauses"][0]["reason"] == "Carol is hasty, unlike carola"
    assert {entry["kind"] for entry in data["log"]} >= {"session.began", "answer.revised", "token.made_for"}
    answers = data["answers"]
    assert len(answers) == 4
    assert [len(answer["slots"]) for answer in answers] == [3, 3, 0, 0]
    assert answers[1]["slots"].keys() == set(answers[1]["images_shown"])
    assert answers[1]["earlier_versions"][0]["said"]["slots"] != answers[1]["slots"]
    assert answers[2]["skipped"] == {"reason": "unfit", "note": "Ask Carol"}
    assert '"sd"' not in text  # who made the images
    assert ".png" not in text
    assert "rita" not in text
    assert as_(rita).get("/account/").text.count("/account/data/") == 1
    assert Client().get("/account/data/").status_code == 302


def test_what_is_stored_about_somebody_is_read_in_batches(project, ada, eve, monkeypatch):
    monkeypatch.setattr("annotation.selectors.own_data.BATCH", 2)
    for number in range(5):
        record_action(Action.Kind.EXPORTED, project=project, by=eve, subject=number)
    with CaptureQueriesContext(connection) as statements:
        log = json.loads("".join(own_data(eve)))["log"]
    assert [entry["subject"] for entry in log] == ["0", "1", "2", "3", "4"]
    assert (
        sum(' FROM "annotation_action"' in query["sql"] for query in statements) == 4
    )  # the last finds none
    assert all(
        "LIMIT 2" in query["sql"] for query in statements if ' FROM "annotation_action"' in query["sql"]
    )


@pytest.mark.parametrize("name", ["csv", "annotator"])
def test_nobody_downloads_what_is_logged_of_something_that_is_called_as_they_are(name, project, ada):
    person = User.objects.create_user(name)
    add_member(project=project, user=person, role="annotator", by=ada)
    record_action(Action.Kind.EXPORTED, project=project, by=ada, subject="csv")
    record_action(Action.Kind.INVITED, project=project, by=ada, subject="annotator")
    log = json.loads("".join(own_data(person)))["log"]
    assert [(entry["kind"], entry["subject"]) for entry in log] == [("member.added", name)]
