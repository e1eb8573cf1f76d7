"""Passing on a task: with a reason, so many of every hundred, and somebody else is asked."""

from datetime import timedelta

import pytest

from annotation.models import Assignment, Skip
from annotation.selectors.results.progress import project_progress
from annotation.services.assignments.assignments import LeaseLost, claim_next
from annotation.services.assignments.overlap import ask_where_opinions_differ
from annotation.services.assignments.skips import NotSkippable, SkipsUsedUp, skip_task
from annotation.services.checks.references import claim_reference
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import add_member
from tests.annotation.assignments.test_assignments import in_threads
from tests.annotation.posts import address, begin, filled_in, left_as_draft
from tests.cast import NOW, answer_for, luck

State = Assignment.State


def claim(annotator, project):
    return claim_next(annotator=annotator, project=project, now=NOW, generator=luck())


def skip(task, annotator, reason="uncomfortable", note=""):
    return skip_task(assignment=task, annotator=annotator, reason=reason, note=note, now=NOW)


def test_what_is_skipped_is_asked_of_somebody_else_and_never_of_the_same_person(
    alice, bob, project, a_prompt
):
    prompt = a_prompt()
    task = claim(alice, project)
    made = skip(task, alice, "unfit", " no idea of heraldry ")

    assert (made.reason, made.note, made.skipped_at) == ("unfit", "no idea of heraldry", NOW)
    task.refresh_from_db()
    assert (task.state, task.annotator, task.draft) == (State.SKIPPED, alice, None)
    assert claim(alice, project) is None
    assert claim(bob, project).prompt == prompt


def test_skipping_again_changes_nothing(alice, project, a_prompt):
    a_prompt()
    task = claim(alice, project)
    assert skip(task, alice, "broken") == skip(task, alice, "uncomfortable")
    assert Skip.objects.get().reason == "broken"
    assert Assignment.objects.filter(state=State.OPEN).count() == 1


def test_no_more_are_skipped_than_the_project_lets_and_the_next_hundred_brings_new_ones(
    alice, a_project, a_prompt, monkeypatch
):
    project = a_project(skips_per_hundred=1)
    for _ in range(4):
        a_prompt(2, project=project)
    monkeypatch.setattr("annotation.selectors.assignments.HUNDRED", 2)
    skip(claim(alice, project), alice)
    second = claim(alice, project)
    with pytest.raises(SkipsUsedUp):
        skip(second, alice)
    second.refresh_from_db()
    assert second.state == State.LEASED

    submit_judgement(
        assignment=second, annotator=alice, judgement=answer_for(second), now=NOW, generator=luck()
    )
    assert skip(claim(alice, project), alice)


def test_a_project_may_let_nobody_skip(alice, a_project, a_prompt):
    project = a_project(skips_per_hundred=0)
    a_prompt(project=project)
    with pytest.raises(SkipsUsedUp):
        skip(claim(alice, project), alice)


def test_two_tabs_do_not_both_take_the_last_skip(transactional_db, alice, a_project, a_prompt):
    project = a_project(skips_per_hundred=1)
    a_prompt(project=project), a_prompt(project=project)
    tasks = [claim(alice, project)]
    Assignment.objects.filter(state=State.OPEN).update(
        state=State.LEASED, annotator=alice, leased_until=NOW, claimed_at=NOW
    )
    tasks.append(Assignment.objects.exclude(pk=tasks[0].pk).get())

    def attempt(task):
        try:
            return bool(skip(task, alice))
        except SkipsUsedUp:
            return False

    assert sorted(in_threads(attempt, tasks, workers=2)) == [False, True]


def test_anothers_task_and_an_answered_one_are_not_skipped(alice, bob, project, a_prompt):
    a_prompt()
    task = claim(alice, project)
    with pytest.raises(LeaseLost):
        skip(task, bob)
    submit_judgement(assignment=task, annotator=alice, judgement=answer_for(task), now=NOW, generator=luck())
    with pytest.raises(LeaseLost):
        skip(task, alice)
    assert not Skip.objects.exists()


def test_a_gold_task_is_skipped_like_another_and_opens_nothing(alice, a_project, a_prompt, a_gold):
    project = a_project(gold_share=0.5)
    a_gold(project)
    for _ in range(3):
        a_prompt(project=project)
    kinds = []
    while (task := claim(alice, project)) is not None:
        kinds.append(task.kind)
        opened = Assignment.objects.filter(state=State.OPEN).count()
        skip(task, alice)
        assert Assignment.objects.filter(state=State.OPEN).count() - opened == (task.kind == "ordinary")
    assert sorted(kinds) == ["gold", "ordinary", "ordinary", "ordinary"]


def test_the_test_and_references_cannot_be_skipped(ada, project, a_prompt):
    a_prompt(opened=False)
    task = claim_reference(researcher=ada, project=project, now=NOW, generator=luck())
    with pytest.raises(NotSkippable):
        skip(task, ada)


def test_a_skip_is_no_opinion(alice, bob, rita, a_project, a_prompt):
    project = a_project(opinions_per_prompt=2, extra_opinions=1, agreement_wanted=1.0, review_share=0.0)
    prompt = a_prompt(project=project)
    skip(claim(alice, project), alice)
    for annotator, slots in ((bob, (1, 2, 3)), (rita, (3, 2, 1))):
        task = claim(annotator, project)
        submit_judgement(
            assignment=task,
            annotator=annotator,
            judgement=answer_for(task, slots=slots, overall=(4, 4, 4)),
            now=NOW,
            generator=luck(),
        )
    assert project_progress(project, now=NOW).wanted == 2
    assert [opened.prompt for opened in ask_where_opinions_differ(project=project)] == [prompt]


def test_on_the_page_a_skip_asks_why_and_leads_to_the_next_task(client, alice, project, a_prompt):
    a_prompt(), a_prompt()
    task = begin(client, alice, project)
    page = client.get(f"/work/{project.slug}/").content.decode()
    assert "Of every 100 tasks you may skip 5." in page

    refused = client.post(f"{address(task)}skip/", left_as_draft(task), headers={"HX-Request": "true"})
    assert (refused.status_code, "Not skipped: say why." in refused.content.decode()) == (422, True)
    done = client.post(
        f"{address(task)}skip/",
        left_as_draft(task, reason="uncomfortable"),
        headers={"HX-Request": "true"},
        follow=True,
    )
    assert "Skipped: somebody else is asked." in done.content.decode()
    assert Assignment.objects.get(annotator=alice, state=State.LEASED) != task


def test_what_was_drafted_is_still_there_when_a_skip_is_refused(client, alice, a_project, a_prompt):
    project = a_project(skips_per_hundred=1)
    a_prompt(project=project), a_prompt(project=project)
    add_member(project=project, user=alice, role="annotator")
    first = begin(client, alice, project)
    skip(first, alice)
    client.get(f"/work/{project.slug}/")
    task = Assignment.objects.get(annotator=alice, state=State.LEASED)
    client.post(f"{address(task)}draft/", left_as_draft(task, **{"category": "plants"}))
    refused = client.post(f"{address(task)}skip/", left_as_draft(task, reason="unfit"))
    page = refused.content.decode()
    assert refused.status_code == 422
    assert "You have skipped as many tasks as you may for now: 1." in page
    assert Assignment.objects.get(pk=task.pk).draft["category"] == ["plants"]


def test_an_answer_from_another_tab_to_a_skipped_task_is_told_so(client, alice, project, a_prompt):
    a_prompt()
    task = begin(client, alice, project)
    skip(task, alice)
    late = client.post(address(task), filled_in(task))
    assert (late.status_code, "You skipped this task" in late.content.decode()) == (409, True)


def test_anothers_task_is_not_there_to_skip(client, alice, bob, eve, project, a_prompt):
    a_prompt()
    task = begin(client, alice, project)
    for other, status in ((bob, 404), (eve, 404)):
        client.force_login(other)
        response = client.post(f"{address(task)}skip/", left_as_draft(task, reason="unfit"))
        assert response.status_code == status
    assert not Skip.objects.exists()


def test_inspectors_see_how_many_somebody_skipped_and_admins_why(client, ada, alice, rita, project, a_prompt):
    prompt = a_prompt()
    skip(claim(alice, project), alice, "broken", "half an image")
    client.force_login(rita)
    quality = client.get(f"/inspect/{project.slug}/people/")
    assert [person.skipped for person in quality.context["people"]] == [1]
    client.force_login(ada)
    page = client.get(f"/projects/{project.slug}/prompts/{prompt.pk}/").content.decode()
    assert "half an image" in page


def test_a_program_skips_too(client, alice, project, a_prompt):
    a_prompt()
    begin(client, alice, project)
    base = f"/api/v1/projects/{project.slug}/tasks"
    task = client.post(f"{base}/next/").json()

    def post(**fields):
        return client.post(f"{base}/skip/", fields, content_type="application/json")

    assert post(claim=task["claim"], reason="bored").status_code == 400
    later = (NOW + timedelta(days=1)).isoformat()
    assert post(claim=later, reason="unfit").status_code == 404
    assert post(claim=task["claim"], reason="unfit").status_code == 204
    assert post(claim=task["claim"], reason="unfit").status_code == 204
    assert client.post(f"{base}/next/").status_code == 204
