"""Every address: who is not of its project finds nothing, whatever they name; and texts are never markup."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse
from django.utils import timezone

from annotation.access import MAY, SUPERUSER, Do, may, members_who, people_who, projects_where
from annotation.models import Assignment, Membership, Reference, User
from annotation.services.assignments.assignments import claim_next
from annotation.services.exports import request_export
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.people.invitations import invite
from annotation.services.projects.projects import acknowledge, add_member
from annotation.services.projects.prompts import NewImage, add_generations
from annotation.services.webhooks.webhooks import create_webhook
from tests.cast import *  # noqa: F403
from tests.cast import NOW, answer_for, luck, picture

# What somebody who annotates may ask for; everything else of their project is not there for them.
ANNOTATORS = {
    *("ahead", "own-today"),
    *("work", "submit", "draft", "skip", "feedback", "acknowledge-guideline", "own-answers", "own-answer"),
    *("last-answer", "change-answer", "api-guideline", "api-next-task", "api-skip", "api-answers"),
}
# What inspectors see of a project beside their queue.
INSPECTORS = {
    *("project-agreement", "project-leaderboard", "project-analysis", "analysis-table", "quality", "pause"),
    *("lift-pause", "decide-qualification", "api-quality", "api-progress", "api-reviews"),
    *("api-leaderboard", "api-positions", "api-agreement", "api-qualifications", "api-pauses"),
}
NOT_THERE = {404, 405}


def addresses(patterns=None, given=frozenset()) -> Iterator[tuple[str, set[str]]]:
    """Name and arguments of every page and endpoint of ours that names something."""
    for one in get_resolver().url_patterns if patterns is None else patterns:
        arguments = given | set(one.pattern.converters)
        if not isinstance(one, URLPattern):
            if one.app_name != "admin":
                yield from addresses(one.url_patterns, arguments)
        elif one.name and arguments:
            yield one.name, arguments


def named(name, arguments, project, task, rows):
    given = {
        "slug": project.slug,
        "pk": rows.get(name, task.pk),
        "version": 1,
        **dict.fromkeys(("delivery", "step", "number", "place"), 1),
        "ident": "nothing",
        "key": "nothing",
        "side": "after",
        "image": task.token,
        "form": "csv",
        "token": "nothing" if name == "join" else task.token,
    }
    return reverse(name, kwargs={argument: given[argument] for argument in arguments})


@pytest.fixture
def answered(project, alice, a_prompt):
    a_prompt(), a_prompt()
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    submit_judgement(assignment=task, annotator=alice, judgement=answer_for(task), now=NOW, generator=luck())
    return Assignment.objects.get(pk=task.pk)


@pytest.fixture
def rows(project, ada, alice, answered):
    """Rows of the project that addresses name by their ids."""
    export = request_export(project=project, by=ada, now=timezone.now(), format="csv").pk
    webhook = create_webhook(
        project=project, by=ada, url="https://example.com/", kinds=["judgement.submitted"]
    ).pk
    invitation, _ = invite(project=project, role="annotator", uses=1, expires_at=NOW, by=ada, now=NOW)
    hooks = ("project-webhook", "ping-webhook", "switch-webhook", "renew-webhook-secret", "remove-webhook")
    people = ("pause", "lift-pause", "decide-qualification", "remove-person", "make-reset-link")
    exports = ("download-export", "cancel-export", "retry-export", "delete-export", "api-export")
    return {
        **dict.fromkeys((*hooks, "send-again"), webhook),
        **dict.fromkeys(people, alice.pk),
        **dict.fromkeys((*exports, "api-export-file"), export),
        "revoke-invitation": invitation.pk,
        "project-prompt": answered.prompt_id,
    }


def asked_of_every_address(person, project, task, rows, wanted):
    """(name, method, status) of every address that is `wanted`."""
    client = Client()
    client.force_login(person)
    for name, arguments in sorted(addresses()):
        if wanted(name, arguments):
            address = named(name, arguments, project, task, rows)
            for method in (client.get, client.post):
                yield name, method.__name__, method(address).status_code


def test_somebody_of_another_project_finds_no_address_of_this_one(
    ada, eve, a_project, project, answered, rows
):
    other = a_project()
    Membership.objects.filter(project=other, user=ada).delete()
    strangers = [(eve, None)]
    for role in Membership.Role.values:
        person = User.objects.create_user(f"strange {role}")
        add_member(project=other, user=person, role=role)
        strangers.append((person, role))
    for person, _ in strangers:
        found = asked_of_every_address(person, project, answered, rows, lambda _, kwargs: "slug" in kwargs)
        assert [one for one in found if one[2] not in NOT_THERE] == []


def test_rows_of_another_project_are_not_there_under_ones_own(a_project, project, answered, rows):
    other = a_project()
    boss = User.objects.create_user("boss")
    add_member(project=other, user=boss, role="admin")
    found = asked_of_every_address(
        boss, other, answered, rows, lambda name, kwargs: bool({"pk", "token"} & kwargs) and name != "join"
    )
    assert [one for one in found if one[2] not in NOT_THERE] == []


def test_annotators_find_their_workspace_and_nothing_else_of_a_project(bob, project, answered, rows):
    acknowledge(guideline=project.guidelines.first(), user=bob)
    found = asked_of_every_address(
        bob, project, answered, rows, lambda name, kwargs: "slug" in kwargs and name not in ANNOTATORS
    )
    assert [one for one in found if one[2] not in NOT_THERE] == []
    theirs = ("submit", "draft", "skip", "feedback", "own-answer", "change-answer")
    found = asked_of_every_address(bob, project, answered, rows, lambda name, _: name in theirs)
    assert [one for one in found if one[2] not in NOT_THERE] == []


def test_inspectors_find_no_page_that_is_for_admins(rita, project, answered, rows):
    found = asked_of_every_address(
        rita, project, answered, rows, lambda name, kwargs: "slug" in kwargs and name not in ANNOTATORS
    )
    assert {one[0] for one in found if one[2] not in NOT_THERE} <= INSPECTORS


def test_texts_are_never_markup(client, ada, alice, rita, a_project, a_prompt):
    evil = "<img src=x onerror=alert(1)>"
    project = a_project(skips_per_hundred=5)
    project.name = evil
    project.save(update_fields=["name"])
    project.guidelines.update(text=f"{evil}\n\n[a](javascript:alert(1))\n\n<script>alert(1)</script>")
    for person, role in ((alice, "annotator"), (rita, "inspector")):
        add_member(project=project, user=person, role=role)
    prompt = a_prompt(project=project)
    type(prompt).objects.filter(pk=prompt.pk).update(text=evil, key=evil)
    add_generations(prompt=prompt, images=[NewImage(picture(9), f"{evil}.png", generator=evil)])
    pages = [(alice, f"/work/{project.slug}/")]
    for person, path in pages:
        client.force_login(person)
        assert evil not in client.get(path).content.decode()
    acknowledge(guideline=project.guidelines.first(), user=alice)
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    for path in ("/", f"/work/{project.slug}/"):
        client.force_login(alice)
        said = client.get(path).content.decode()
        assert evil not in said
        assert "<script>alert" not in said
        assert 'href="javascript:' not in said
    submit_judgement(assignment=task, annotator=alice, judgement=answer_for(task), now=NOW, generator=luck())
    client.force_login(rita)
    for path in ("/inspect/", f"/inspect/{task.pk}/", f"/inspect/{project.slug}/people/"):
        assert evil not in client.get(path).content.decode()
    client.force_login(ada)
    plain = [
        name
        for name, arguments in addresses()
        if arguments == {"slug"} and not name.startswith("api-") and name != "work"
    ]
    for path in [reverse(name, args=[project.slug]) for name in plain] + [
        f"/projects/{project.slug}/prompts/{prompt.pk}/",
        "/projects/",
    ]:
        response = client.get(path)
        if response.status_code == 200 and not response.streaming:
            assert evil not in response.content.decode(), path


def test_pages_forbid_scripts_that_are_not_ours(client, db):
    policy = client.get("/sign-in/").headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy  # so the default holds: none inline


def test_the_documentations_scripts_are_files(client, db):
    page = client.get("/api/v1/docs/").content.decode()
    assert page.count("<script") == page.count("<script src=")


def test_signing_in_begins_another_session(client, db, project):
    User.objects.create_user("carl", password="a long secret")
    client.get("/sign-in/")
    session = client.session
    session["planted"] = True
    session.save()
    before = session.session_key
    client.cookies["sessionid"] = before
    client.post("/sign-in/", {"username": "carl", "password": "a long secret"})
    assert client.cookies["sessionid"].value != before


def test_nothing_is_posted_from_another_site(alice, project, answered):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    for name, arguments in sorted(addresses()):
        if "slug" in arguments and not name.startswith("api-"):
            address = named(name, arguments, project, answered, {})
            assert client.post(address).status_code in (403, 404, 405), address


def test_a_reference_is_never_another_projects(ada, a_project, a_gold, client, project):
    other = a_project()
    reference = a_gold(other)
    client.force_login(ada)
    assert client.post(f"/projects/{project.slug}/references/{reference.pk}/retire/").status_code == 404
    assert Reference.objects.in_use().count() == 1


def test_every_role_says_what_it_may_do_and_a_role_is_named_nowhere_else():
    assert set(MAY) == set(Membership.Role)
    root = Path(__file__).parent.parent
    sources = {
        file.relative_to(root).as_posix(): file.read_text()
        for app in ("annotation", "rewardmodel", "refl", "config", "templates")
        for file in (root / app).rglob("*.*")
        if file.suffix in {".py", ".html"} and "migrations" not in file.parts
    }
    named = re.compile(rf"Role\.({'|'.join(Membership.Role.names)})\b|\brole\w* *[!=]= *[\"']")
    assert {path for path, source in sources.items() if named.search(source)} == {"annotation/access.py"}


@pytest.mark.parametrize("do", Do)
def test_who_may_do_something_is_the_same_asked_by_person_by_project_and_by_member(
    do, project, a_project, ada, eve, alice, rita, rosa
):
    eve.is_superuser = True
    eve.save()
    elsewhere = a_project()
    people = {ada: "admin", alice: "annotator", rita: "inspector", rosa: "researcher"}
    allowed = {person for person, role in people.items() if do in MAY[role]}
    assert {member.user for member in members_who(project, do)} == allowed
    allowed |= {eve} if do in MAY[SUPERUSER] else set()
    assert set(people_who(project, do)) == allowed
    for person in (*people, eve):
        assert may(person, do, project) == (person in allowed)
        assert (project in projects_where(person, do)) == (person in allowed)
        assert (elsewhere in projects_where(person, do)) == (person in allowed & {ada, eve})
