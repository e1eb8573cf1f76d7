"""The log: what admins and inspectors did is written down with it, and stays."""

import pytest
from django.core.exceptions import ValidationError
from django.db import InternalError, transaction

from annotation.models import Action
from annotation.services.actions import record_action
from annotation.services.checks.pauses import lift, pause
from annotation.services.exports import request_export
from annotation.services.projects.projects import change_settings, publish_guideline, remove_member
from tests.annotation.posts import address, begin, filled_in
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW

Kind = Action.Kind


def test_settings_are_logged_with_their_values_before_and_after(project, ada):
    change_settings(project=project, by=ada, lease_minutes=15, name=project.name)
    action = project.actions.get(kind=Kind.SETTINGS_CHANGED)
    assert (action.actor, action.subject, action.details) == (
        ada,
        "lease_minutes",
        {"lease_minutes": [60, 15]},
    )
    change_settings(project=project, by=ada, lease_minutes=15)
    assert project.actions.filter(kind=Kind.SETTINGS_CHANGED).count() == 1


def test_people_and_guidelines_are_logged(project, ada, bob, rita):
    publish_guideline(project=project, text="Be fairer", by=ada)
    remove_member(project=project, user=bob, by=ada)
    remove_member(project=project, user=bob, by=ada)
    lift(pause=pause(annotator=bob, project=project, reason="hasty", by=rita, now=NOW), by=ada, now=NOW)
    newest = list(project.actions.values_list("kind", "actor__username", "subject")[:4])
    assert newest == [
        (Kind.LIFTED, "ada", "bob"),
        (Kind.PAUSED, "rita", "bob"),
        (Kind.MEMBER_REMOVED, "ada", "bob"),
        (Kind.GUIDELINE_PUBLISHED, "ada", "version 2"),
    ]


def test_an_export_is_logged_with_its_format(project, ada):
    request_export(project=project, format="imagereward", by=ada, now=NOW)
    newest = project.actions.first()
    assert (newest.kind, newest.actor, newest.subject) == (Kind.EXPORTED, ada, "imagereward")


def test_nothing_is_logged_of_what_was_not_done(project, ada):
    with pytest.raises(ValidationError):
        change_settings(project=project, by=ada, lease_minutes=15, slots=99)
    assert not project.actions.filter(kind=Kind.SETTINGS_CHANGED).exists()


@pytest.mark.parametrize("change", [lambda rows: rows.update(subject="nobody"), lambda rows: rows.delete()])
def test_the_database_refuses_to_change_the_log(project, ada, change):
    record_action(Kind.MEMBER_ADDED, project=project, by=ada, subject="bob")
    with pytest.raises(InternalError, match="only added to"), transaction.atomic():
        change(Action.objects.all())
    assert Action.objects.filter(subject="bob").exists()


def test_the_log_writes_lists_and_truths_in_words(project, ada):
    record_action(Kind.WEBHOOK_MADE, project=project, by=ada, kinds=["review.made", "export.ready"])
    record_action(Kind.WEBHOOK_SWITCHED, project=project, by=None, enabled=False)
    text = as_(ada).get(f"/projects/{project.slug}/log/").text
    assert "kinds</span> review.made, export.ready" in text
    assert "enabled</span> no" in text
    assert "a rule or command" in text


def test_admins_read_the_log_and_choose_from_it(project, ada, alice, rita, a_prompt, client):
    a_prompt()
    task = begin(client, alice, project)
    client.post(address(task), filled_in(task))
    as_(rita).post(f"/inspect/{task.pk}/send-back/", {"reason": "hasty"})
    page = f"/projects/{project.slug}/log/"
    text = as_(ada).get(page).text
    assert "Answer sent back" in text
    assert "hasty" in text
    assert "hasty" in as_(ada).get(f"{page}?kind=answer.sent_back&who=rita").text
    assert "Nothing was done that fits." in as_(ada).get(f"{page}?kind=answer.sent_back&who=ada").text
    for person in (alice, rita):
        assert as_(person).get(page).status_code == 404
