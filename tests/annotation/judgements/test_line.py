"""The line of a ranking, above which images are acceptable: asked for, checked, kept, changed and shown."""

from dataclasses import replace

import pytest
from rest_framework.test import APIClient

from annotation.models import Assignment, Ranking
from annotation.services.judgements.answers import judgement_of
from annotation.services.judgements.judgements import InvalidLine, submit_judgement
from annotation.services.judgements.reviews import accept
from annotation.services.judgements.revisions import revise_judgement
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck


@pytest.fixture
def asked(client, alice, project, a_prompt):
    """Alice's task, three images, in a project that asks which images are acceptable."""
    type(project).objects.update(asks_acceptable=True, review_share=1.0)
    project.refresh_from_db()
    a_prompt(images=3)
    return begin(client, alice, project)


def submit(task, **changes):
    judgement = replace(answer_for(task, slots=[1, 2, 4]), **changes)
    submit_judgement(
        assignment=task, annotator=task.annotator, judgement=judgement, now=NOW, generator=luck()
    )
    task.refresh_from_db()
    return task


@pytest.mark.parametrize(
    ("line", "says"),
    [(None, "or that none is"), (-1, "0 to 5"), (6, "0 to 5")],
)
def test_an_answer_without_a_line_or_with_one_outside_the_slots_is_refused(asked, line, says):
    with pytest.raises(InvalidLine, match=says):
        submit(asked, acceptable_slots=line)
    assert not Ranking.objects.exists()


def test_a_line_that_nobody_asked_for_is_refused(asked, project):
    type(project).objects.update(asks_acceptable=False)
    asked.project.refresh_from_db()
    with pytest.raises(InvalidLine, match="does not ask"):
        submit(asked, acceptable_slots=0)


@pytest.mark.parametrize("line", [0, 2, 5])
def test_the_line_is_kept_and_read_again(asked, line):
    assert judgement_of(submit(asked, acceptable_slots=line)).acceptable_slots == line


def test_a_line_moved_later_is_a_revision_of_the_answer(asked):
    answer = submit(asked, acceptable_slots=2)
    before = judgement_of(answer)
    changes = {"assignment": answer, "annotator": answer.annotator, "version": "", "now": NOW}
    revise_judgement(judgement=before, **changes)
    assert not answer.revisions.exists()
    revise_judgement(judgement=replace(before, acceptable_slots=0), **changes)
    assert Ranking.objects.get().acceptable_slots == 0
    assert answer.revisions.get().said["acceptable_slots"] == 2


def test_the_page_asks_keeps_a_draft_and_refuses_an_answer_without_a_line(asked, client):
    page = client.get(f"/work/{asked.project.slug}/").text
    assert page.count('name="acceptable"') == 6
    client.post(f"{address(asked)}draft/", left_as_draft(asked, acceptable="2"))
    assert 'value="2" checked' in client.get(f"/work/{asked.project.slug}/").text
    answer = client.post(address(asked), filled_in(asked, slots=[1, 2, 4]))
    assert answer.status_code == 422
    assert "Say which images are acceptable, or that none of them is." in answer.text
    client.post(address(asked), filled_in(asked, slots=[1, 2, 4], acceptable="0"))
    assert Ranking.objects.get().acceptable_slots == 0


def test_a_project_that_does_not_ask_shows_no_line(client, alice, project, a_prompt):
    a_prompt(images=2)
    task = begin(client, alice, project)
    assert "acceptable" not in client.get(f"/work/{task.project.slug}/").text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (0, "None of these images is acceptable."),
        (2, "Acceptable: slots 1 to 2."),
        (5, "All of these images are acceptable."),
    ],
)
def test_its_annotator_and_inspectors_see_the_line(asked, client, rita, line, says):
    answer = submit(asked, acceptable_slots=line)
    assert says in as_(rita).get(f"/inspect/{answer.pk}/").text
    own = f"/work/{answer.project.slug}/answers/{answer.token}/"
    assert f'value="{line}" checked' in client.get(own).text
    accept(assignment=answer, inspector=rita, now=NOW)
    assert says in client.get(own).text


def test_a_program_says_and_reads_the_line(asked, alice, rita):
    program = APIClient()
    program.force_authenticate(alice)
    root = f"/api/v1/projects/{asked.project.slug}"
    task = program.post(f"{root}/tasks/next/").json()
    assert task["asks_acceptable"] is True
    images = [
        {
            "number": n,
            "slot": n,
            "rating": {"overall": 7 - n, "alignment": 4, "fidelity": 4, "problems": []},
        }
        for n in (1, 2, 3)
    ]
    answer = {
        "claim": task["claim"],
        "label": {"category": "animals", "intent_unclear": False, "issues": []},
        "images": images,
    }
    refused = program.post(f"{root}/answers/", answer, format="json")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_line")
    stored = program.post(f"{root}/answers/", answer | {"acceptable_slots": 0}, format="json")
    assert (stored.status_code, stored.json()["acceptable_slots"]) == (201, 0)
    program.force_authenticate(rita)
    [row] = program.get(f"{root}/answers/").json()["results"]
    assert row["acceptable_slots"] == 0
    assert row["seconds"] == pytest.approx(Assignment.objects.get(pk=asked.pk).seconds)
