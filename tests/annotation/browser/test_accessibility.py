"""Every page of annotation, as each role sees it: axe finds nothing serious, and none is too wide."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Pause, PromptLabel, Rating, User
from annotation.services.people.invitations import invite
from annotation.services.projects.projects import acknowledge, add_member
from tests.accessibility import addresses, complaints, is_page
from tests.annotation.browser.hands import press
from tests.rankings import add_images, rank_images
from tests.test_access import answered, named, rows  # noqa: F401  # fixtures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def people(project, alice, bob, rita, rosa, ada, answered, a_gold):  # noqa: F811
    """Everybody has read the guideline; enough is judged for figures, and bob is paused."""
    now = timezone.now()
    images = add_images(project, 12, ["sd", "dalle"])
    stars = {image.pk: 3 + number % 4 for number, one in enumerate(images) for image in one}
    for name in ("carol", "dan"):
        person = User.objects.create_user(name)
        add_member(project=project, user=person, role="annotator")
        rank_images(person, [(one, [1, 3]) for one in images], stars)
    Rating.objects.update(problems=["body"])
    finished = Assignment.objects.finished()
    PromptLabel.objects.bulk_create(
        PromptLabel(assignment=answer, category="people", intent_unclear=False, issues=[])
        for answer in finished
    )
    finished.update(claimed_at=now - timedelta(minutes=3), submitted_at=now)
    a_gold(project)
    Pause.objects.create(project=project, user=bob, rule="speed", reason="Too quick.", paused_at=now)
    everybody = [alice, bob, rita, rosa, ada]
    for person in everybody:
        acknowledge(guideline=project.guidelines.get(), user=person)
    return everybody


def test_no_page_has_anything_serious_for_anybody(at_work, live_server, project, people, answered, rows):  # noqa: F811
    found, seen = [], set()
    for person in people:
        signed_in = Client()
        signed_in.force_login(person)
        page = at_work(person, "/")
        for name, arguments in addresses("annotation.urls"):
            address = named(name, arguments, project, answered, rows)
            shown = name if name != "home" else f"home of {person}"
            if shown not in seen and is_page(signed_in, address):
                seen.add(shown)
                page.goto(live_server.url + address)
                found += complaints(page, shown)
    assert found == []
    assert {
        "work",
        "own-answers",
        "inspection",
        "quality",
        "project-analysis",
        "hours",
        "project-log",
    } <= seen
    assert len(seen) >= 30


def test_no_step_of_a_task_has_anything_serious(at_work, alice, a_prompt):
    a_prompt(images=2)
    page = at_work(alice)
    found = complaints(page, "label")
    press(page, "2 0 Enter")
    found += complaints(page, "rate")
    press(page, "5 4 4 0 Enter 5 4 4 0 Enter")
    found += complaints(page, "rank")
    press(page, "?")
    assert found + complaints(page, "keys") == []


def test_no_page_for_strangers_has_anything_serious(a_page, live_server, project, ada):
    page, now = a_page(), timezone.now()
    _, link = invite(
        project=project, role="annotator", uses=1, expires_at=now + timedelta(days=1), by=ada, now=now
    )
    found = []
    for address in (reverse("sign-in"), reverse("join", args=[link]), "/nothing/here/"):
        page.goto(live_server.url + address)
        found += complaints(page, address)
    assert found == []
