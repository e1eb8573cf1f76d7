"""Tasks of blind studies: asked like any other work, counted as none of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import Client

from annotation.models import Assignment, Prompt, Ranking
from annotation.selectors.preferences import finished_rankings
from annotation.selectors.results.progress import project_progress
from annotation.services.assignments.assignments import LeaseLost, claim_ahead, claim_next, open_assignments
from annotation.services.assignments.skips import skip_task
from annotation.services.assignments.studies import (
    add_study_prompts,
    close_study_prompts,
    open_study_assignments,
)
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import send_back
from annotation.services.judgements.revisions import AnswerClosed, revise_judgement
from annotation.services.projects.prompts import NewImage, add_generations
from tests.annotation.posts import address, begin, filled_in
from tests.cast import NOW, answer_for, luck, picture


@pytest.fixture
def a_study(project):
    """Prompts of a study with two images each, opened."""

    def make(count=1, *, opinions=1, opened=True):
        prompts = add_study_prompts(project=project, texts=["a fox"] * count, translations=[""] * count)
        for number, prompt in enumerate(prompts):
            images = [
                NewImage(picture(7000 + 2 * number + i), f"{name}/1.png", name) for i, name in enumerate("ab")
            ]
            add_generations(prompt=prompt, images=images)
        if opened:
            open_study_assignments(prompts=prompts, opinions=opinions)
        return prompts

    return make


def claim(annotator, project, *, now=NOW):
    return claim_next(annotator=annotator, project=project, now=now, generator=luck())


def submit(task, annotator, *, now=NOW):
    answer = answer_for(task, slots=[1, 2])
    submit_judgement(assignment=task, annotator=annotator, judgement=answer, now=now, generator=luck())


def test_a_study_is_given_before_other_work_and_each_task_once_a_person(
    alice, bob, project, a_prompt, a_study
):
    ordinary, studied = a_prompt(), a_study(2, opinions=2)
    given = []
    while (task := claim(alice, project)) is not None:
        given.append((task.kind, task.prompt_id))
        submit_judgement(
            assignment=task,
            annotator=alice,
            judgement=answer_for(task),
            now=NOW,
            generator=luck(),
        )
    assert given == [("study", studied[0].pk), ("study", studied[1].pk), ("ordinary", ordinary.pk)]
    assert claim(bob, project).prompt_id == studied[0].pk


def test_opening_a_study_twice_asks_once_and_ordinary_work_cannot_be_opened_on_it(project, a_study):
    prompts = a_study(opinions=3)
    assert open_study_assignments(prompts=prompts, opinions=3) == []
    assert open_assignments(prompts=prompts) == []
    assert Assignment.objects.filter(project=project).count() == 3


def test_a_projects_prompts_images_and_answers_leave_studies_out(alice, project, a_prompt, a_study):
    kept = a_prompt()
    [studied] = a_study()
    submit(claim(alice, project), alice)
    assert list(project.prompts.all()) == [kept]
    assert list(Prompt.everything.filter(project=project)) == [kept, studied]
    assert list(finished_rankings(project)) == []
    progress = project_progress(project, now=NOW)
    assert (progress.prompts, progress.images, progress.finished, progress.pairs) == (1, 3, 0, 0)
    assert [person.done for person in progress.annotators] == [1]


def test_a_skipped_task_of_a_study_is_asked_of_somebody_else(alice, bob, project, a_study):
    a_study()
    skip_task(assignment=claim(alice, project), annotator=alice, reason="unfit", note="", now=NOW)
    assert claim(alice, project) is None
    assert claim(bob, project).kind == "study"


def test_an_answer_sent_back_is_asked_again_while_the_study_is_open(alice, rita, project, a_study):
    [prompt] = a_study(opinions=2)
    tasks = [claim(alice, project)]
    submit(tasks[0], alice)
    tasks[0].refresh_from_db()
    again = send_back(assignment=tasks[0], inspector=rita, reason="hasty", now=NOW)
    assert (again.kind, again.prompt_id) == ("study", prompt.pk)


def test_closing_takes_back_what_nobody_has_begun_and_the_task_in_hand_still_counts(
    alice, bob, project, a_study
):
    prompts = a_study(3)
    in_hand = claim(alice, project)
    claim_ahead(annotator=alice, project=project, now=NOW, generator=luck())
    assert close_study_prompts(prompts=[prompt.pk for prompt in prompts], now=NOW) == 2
    assert claim(bob, project) is None
    submit(in_hand, alice)
    in_hand.refresh_from_db()
    assert in_hand.state == "submitted"


def test_a_task_whose_lease_ran_out_after_the_study_closed_is_taken_back(alice, project, a_study):
    prompts = a_study()
    ids = [prompt.pk for prompt in prompts]
    in_hand = claim(alice, project)
    assert close_study_prompts(prompts=ids, now=NOW) == 0
    late = NOW + project.lease + timedelta(seconds=1)
    assert close_study_prompts(prompts=ids, now=late) == 1
    with pytest.raises(LeaseLost):
        submit(in_hand, alice, now=late)


def close_elsewhere(prompts, *, now=NOW):
    """Close the study over another connection, which waits for no lock."""

    def close():
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
            return close_study_prompts(prompts=[prompt.pk for prompt in prompts], now=now)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(close).result()


@pytest.mark.django_db(transaction=True)
def test_a_late_answer_that_is_being_recorded_outlives_the_end_of_its_study(alice, project, a_study):
    prompts = a_study(2)
    task = claim(alice, project)
    late = NOW + project.lease + timedelta(seconds=1)
    with transaction.atomic():
        submit(task, alice, now=late)
        assert close_elsewhere(prompts, now=late) == 1  # the other task
    task.refresh_from_db()
    assert (task.state, Ranking.objects.get().assignment_id) == ("submitted", task.pk)


@pytest.mark.django_db(transaction=True)
def test_a_task_that_is_being_claimed_as_its_study_ends_stays_with_who_claims_it(alice, project, a_study):
    prompts = a_study()
    with transaction.atomic():
        task = claim(alice, project)
        assert close_elsewhere(prompts) == 0
    submit(task, alice)
    assert Ranking.objects.count() == 1


def test_nobody_else_is_asked_what_is_skipped_or_sent_back_in_a_closed_study(alice, rita, project, a_study):
    prompts = a_study(2)
    answered = claim(alice, project)
    submit(answered, alice)
    in_hand = claim(alice, project)
    close_study_prompts(prompts=[prompt.pk for prompt in prompts], now=NOW)
    skip_task(assignment=in_hand, annotator=alice, reason="unfit", note="", now=NOW)
    answered.refresh_from_db()
    assert send_back(assignment=answered, inspector=rita, reason="hasty", now=NOW) is None
    assert not Assignment.objects.filter(state="open").exists()


def test_an_answer_to_a_closed_study_cannot_be_revised(alice, project, a_study):
    [prompt] = a_study()
    task = claim(alice, project)
    submit(task, alice)
    close_study_prompts(prompts=[prompt.pk], now=NOW)
    with pytest.raises(AnswerClosed, match="nobody is asked"):
        revise_judgement(
            assignment=task, annotator=alice, judgement=answer_for(task, slots=[2, 1]), version="", now=NOW
        )


def test_a_page_withdrawn_while_its_task_is_on_the_screen_says_so_and_goes_on(
    alice, project, a_prompt, a_study
):
    client = Client()
    [prompt] = a_study()
    task = begin(client, alice, project)
    assert task.kind == "study"
    task.leased_until = NOW - timedelta(days=1)
    task.save()
    close_study_prompts(prompts=[prompt.pk], now=NOW)
    a_prompt()
    lost = client.post(address(task), filled_in(task, slots=[1, 2]), headers={"HX-Request": "true"})
    assert lost.status_code == 404
    assert f"/work/{project.slug}/" in lost.text
