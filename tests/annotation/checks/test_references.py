"""References: researchers answer, admins say what for, and nobody else's answers are trusted."""

import pytest

from annotation.models import Assignment, Reference
from annotation.services.checks.references import (
    NothingToAnswer,
    NotTrusted,
    choose_reference,
    claim_reference,
    retire_reference,
)
from annotation.services.judgements.judgements import submit_judgement
from tests.annotation.posts import address, begin, filled_in
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck


def answered(person, project, prompt=None):
    task = claim_reference(researcher=person, project=project, now=NOW, generator=luck(), prompt=prompt)
    submit_judgement(assignment=task, annotator=person, judgement=answer_for(task), now=NOW, generator=luck())
    task.refresh_from_db()
    return task


def test_a_researchers_answer_counts_at_once_and_is_no_opinion_that_was_wanted(rosa, project, a_prompt):
    prompt = a_prompt()
    task = answered(rosa, project)
    assert (task.prompt, task.kind, task.state) == (prompt, "reference", "accepted")
    assert prompt.assignments.filter(state="open").count() == 1


def test_prompts_that_annotators_judge_come_first_and_none_twice(rosa, project, a_prompt):
    fresh = a_prompt(opened=False)
    asked = a_prompt()
    assert [answered(rosa, project).prompt for _ in range(2)] == [asked, fresh]
    with pytest.raises(NothingToAnswer):
        answered(rosa, project)
    with pytest.raises(NothingToAnswer):
        answered(rosa, project, prompt=fresh)


def test_asking_twice_gives_the_task_in_hand(rosa, project, a_prompt):
    a_prompt()
    a_prompt()
    asked = [claim_reference(researcher=rosa, project=project, now=NOW, generator=luck()) for _ in range(2)]
    assert asked[0] == asked[1]


def test_an_admin_says_what_an_answer_is_for_and_may_say_otherwise_later(rosa, ada, project, a_prompt):
    a_prompt()
    answer = answered(rosa, project)
    for purpose in ("gold", "training"):
        chosen = choose_reference(answer=answer, purpose=purpose, note=" the tail ", by=ada, now=NOW)
    assert (Reference.objects.get(), chosen.purpose, chosen.note) == (chosen, "training", "the tail")
    retire_reference(reference=chosen, by=ada, now=NOW)
    assert not Reference.objects.in_use().exists()
    with pytest.raises(ValueError, match="emperor"):
        choose_reference(answer=answer, purpose="emperor", note="", by=ada, now=NOW)


def test_an_annotators_answer_is_not_trusted(alice, ada, project, a_prompt, client):
    a_prompt()
    task = begin(client, alice, project)
    client.post(address(task), filled_in(task))
    Assignment.objects.update(state="accepted", accepted_at=NOW)
    task.refresh_from_db()
    with pytest.raises(NotTrusted):
        choose_reference(answer=task, purpose="gold", note="", by=ada, now=NOW)
    assert as_(ada).post(f"/projects/{project.slug}/references/{task.pk}/").status_code == 404


def test_a_researcher_answers_in_the_workspace_and_comes_back(rosa, project, a_prompt):
    a_prompt()
    hers = as_(rosa)
    page = hers.get("/")
    assert f"/projects/{project.slug}/references/" in page.text
    begun = hers.post(f"/projects/{project.slug}/references/answer/")
    assert begun.url == f"/work/{project.slug}/"
    hers.post(f"/work/{project.slug}/guideline/1/")
    task = Assignment.objects.get(annotator=rosa)
    assert str(task.token) in hers.get(begun.url).text
    stored = hers.post(address(task), filled_in(task), headers={"HX-Request": "true"}, follow=True)
    assert stored.headers["HX-Redirect"] == f"/projects/{project.slug}/references/"
    assert hers.get(begun.url).url == f"/projects/{project.slug}/references/"
    nothing = hers.post(f"/projects/{project.slug}/references/answer/")
    assert nothing.status_code == 409
    assert "no prompt with images left" in nothing.text


def test_on_the_page_an_admin_chooses_and_retires_and_a_researcher_only_looks(rosa, ada, project, a_prompt):
    prompt = a_prompt()
    answer = answered(rosa, project)
    page, hers = f"/projects/{project.slug}/references/", as_(ada)
    assert prompt.text in hers.get(page).text
    assert hers.post(f"{page}{answer.pk}/", {"purpose": "fun"}).status_code == 422
    assert as_(rosa).post(f"{page}{answer.pk}/", {"purpose": "gold"}).status_code == 404
    assert hers.post(f"{page}{answer.pk}/", {"purpose": "gold"}).url == page
    reference = Reference.objects.get()
    assert prompt.text in as_(rosa).get(page).text
    assert hers.post(f"{page}{reference.pk}/retire/").url == page
    assert "retired" in hers.get(page).text


def test_annotators_and_inspectors_see_no_references(alice, rita, project):
    for person in (alice, rita):
        assert as_(person).get(f"/projects/{project.slug}/references/").status_code == 404
        assert as_(person).post(f"/projects/{project.slug}/references/answer/").status_code == 404
