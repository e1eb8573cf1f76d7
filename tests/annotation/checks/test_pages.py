"""What people are shown of their quality, and that nothing tells them which task is gold."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, Check, Pause, User
from annotation.services.projects.projects import add_member
from tests.annotation.posts import address, begin, filled_in
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW

VARYING = [
    (r"/work/[^/]+/[0-9a-f-]{36}/", "/work/TASK/"),
    (r'src="[^"]+"', 'src="IMAGE"'),
    (r'name="csrfmiddlewaretoken" value="[^"]+"', "TOKEN"),
    (r'"X-CSRFToken": "[^"]+"', "TOKEN"),
    (r'name="claim" value="[^"]+"', "CLAIM"),
    (r"\d+", "N"),
    (r"a fox, take N", "PROMPT"),
]


def looks(page):
    """A task's page without what differs from task to task anyway."""
    text = page.text
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def test_nothing_on_a_gold_tasks_page_or_answer_tells_it_from_another(alice, project, a_gold, a_prompt):
    a_gold(project)
    for _ in range(3):
        a_prompt()
    hers = Client()
    begin(hers, alice, project)
    project.gold_share = 0.5
    project.save()
    seen = {}
    for _ in range(40):
        task = Assignment.objects.get(annotator=alice, state="leased")
        if task.kind not in seen:
            seen[task.kind] = (
                looks(hers.get(f"/work/{project.slug}/")),
                hers.post(address(task), {}).status_code,
            )
        if len(seen) == 2:
            break
        if task.kind == "ordinary":  # put back and drawn anew, until gold comes
            Assignment.objects.filter(pk=task.pk).update(
                state="open", annotator=None, leased_until=None, claimed_at=None
            )
        hers.get(f"/work/{project.slug}/")
    assert set(seen) == {"ordinary", "gold"}
    assert seen["ordinary"] == seen["gold"]


def test_the_answer_to_a_gold_task_is_stored_as_any_other(alice, project, a_gold, a_prompt):
    a_gold(project)
    a_prompt()
    project.gold_share = 0.5
    project.save()
    hers = Client()
    answers = set()
    begin(hers, alice, project)
    while task := Assignment.objects.filter(annotator=alice, state="leased").first():
        page = hers.post(address(task), filled_in(task), headers={"HX-Request": "true"}, follow=True)
        answers.add((page.status_code, "Answer stored." in page.text))
    assert answers == {(200, True)}


@pytest.fixture
def compared(alice, project, a_gold):
    """Six gold answers of alice's, on 14 of 18 pairs as the reference."""
    for agreed in (3, 3, 3, 2.5, 1.5, 1):
        gold = a_gold(project)
        task = Assignment.objects.create(
            project=project,
            prompt=gold.prompt,
            annotator=alice,
            kind="gold",
            against=gold.answer,
            state="accepted",
            order=gold.answer.order,
            leased_until=NOW,
            claimed_at=NOW,
            submitted_at=NOW,
            accepted_at=NOW,
        )
        Check.objects.create(assignment=task, agreed=agreed, pairs=3, compared_at=NOW)


def test_people_see_their_own_quality_and_inspectors_everybodys(compared, alice, bob, rita, ada, project):
    assert "<b>78 %</b>" in as_(alice).get("/").text
    assert "known answers" not in as_(bob).get("/").text
    page = f"/inspect/{project.slug}/people/"
    for person in (rita, ada):
        assert re.search(r"alice</th>.*?78 %.*?of 18 pairs", as_(person).get(page).text, re.DOTALL)
    for person in (alice, bob):
        assert as_(person).get(page).status_code == 404
    assert page in as_(rita).get("/inspect/").text


def test_the_page_costs_as_many_queries_for_one_annotator_as_for_many(compared, project, ada):
    hers, page = as_(ada), f"/inspect/{project.slug}/people/"
    spent = []
    for name in ("bob", "carol", "dan", "emma"):
        person = User.objects.create_user(name)
        add_member(project=project, user=person, role="annotator")
        Pause.objects.create(
            project=project,
            user=person,
            rule="speed",
            reason="quick",
            paused_at=NOW,
            lifted_at=NOW,
            lifted_by=ada,
        )
        with CaptureQueriesContext(connection) as queries:
            assert name in hers.get(page).text
        spent.append(len(queries))
    assert len(set(spent)) == 1
    assert spent[0] <= 13
