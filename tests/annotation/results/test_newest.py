"""Pictures on the progress page: what is given out next, and what the newest answers place best."""

from datetime import timedelta

import pytest
from django.test import Client

from annotation.models import Assignment, Generation
from annotation.selectors.results.progress import newest_answers, waiting_prompts
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from tests.cast import NOW, answer_for, luck


@pytest.fixture
def project(a_project):
    return a_project(opinions_per_prompt=2)


@pytest.fixture
def answer(project):
    """`answer(alice, [1, 2, 3])`: the next task, answered a minute after the one before."""
    times = iter(NOW + timedelta(minutes=number) for number in range(20))

    def submit(person, slots):
        now = next(times)
        task = claim_next(annotator=person, project=project, now=now, generator=luck())
        judgement = answer_for(task, slots=slots)
        submit_judgement(assignment=task, annotator=person, judgement=judgement, now=now, generator=luck())
        return Assignment.objects.get(pk=task.pk)

    return submit


def test_prompts_wait_in_the_order_in_which_they_are_given_out(project, a_prompt, alice, bob, answer):
    first, second, third = a_prompt(), a_prompt(), a_prompt()
    Assignment.objects.filter(prompt=third).update(priority=5)
    assert [(one.pk, one.opinions) for one in waiting_prompts(project, count=2)] == [
        (third.pk, 2),
        (first.pk, 2),
    ]
    answer(alice, [1, 2, 3]), answer(bob, [1, 2, 3]), answer(alice, [1, 2, 3])
    assert [(one.pk, one.opinions) for one in waiting_prompts(project, count=5)] == [
        (first.pk, 1),
        (second.pk, 2),
    ]


def test_opinions_that_are_given_out_last_are_open_too(a_project, a_prompt, alice, django_assert_num_queries):
    project = a_project(opinions_per_prompt=3, task_order="breadth")
    prompts = [a_prompt(project=project) for _ in range(8)]
    claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    with django_assert_num_queries(1):
        waiting = waiting_prompts(project, count=3)
    assert [(prompt.pk, prompt.opinions) for prompt in waiting] == [(prompt.pk, 3) for prompt in prompts[1:4]]
    last = waiting_prompts(project, count=8)[-1]
    assert (last.pk, last.opinions) == (prompts[0].pk, 2)


def test_the_newest_answers_come_with_the_images_of_their_best_slot(
    project, a_prompt, alice, bob, answer, django_assert_num_queries
):
    prompt = a_prompt()
    a_prompt()
    one, two, three = prompt.generations.all()
    tied = answer(alice, [2, 5, 2])  # slot 1 stays empty
    alone = answer(bob, [3, 1, 2])
    with django_assert_num_queries(2):
        newest = newest_answers(project, count=5)
    assert [new.assignment for new in newest] == [alone, tied]
    assert [{picture.generation for picture in new.best} for new in newest] == [{two.pk}, {one.pk, three.pk}]
    latest = answer(alice, [1, 2, 3])
    assert [new.assignment for new in newest_answers(project, count=2)] == [latest, alone]
    Generation.objects.filter(pk=two.pk).update(is_flagged=True)
    assert newest_answers(project, count=2)[1].best[0].is_harmful


def test_an_answer_to_images_without_files_is_listed_without_pictures(project, a_prompt, alice, answer):
    a_prompt()
    task = answer(alice, [1, 2, 3])
    Generation.objects.update(image=None)
    assert newest_answers(project, count=1)[0].best == []
    assert newest_answers(project, count=1)[0].assignment == task


def test_the_progress_page_shows_both_and_asks_a_bounded_number_of_questions(
    ada, project, a_prompt, alice, answer, django_assert_max_num_queries
):
    first, second = a_prompt(images=3), a_prompt(images=3)
    answer(alice, [2, 1, 3])
    client = Client()
    client.force_login(ada)
    with django_assert_max_num_queries(18):
        page = client.get(f"/projects/{project.slug}/").text
    waits, newest = page.split("Given out next")[1].split("Newest answers")
    assert waits.index(first.text) < waits.index(second.text)
    assert waits.count("/small") == 6
    best = first.generations.all()[1]
    assert f"/images/{best.image.token}/small" in newest.split("</ol>")[0]
    assert newest.split("</ol>")[0].count("/small") == 1
    assert "alice" in newest


def test_annotators_do_not_find_the_page(alice, project):
    client = Client()
    client.force_login(alice)
    assert client.get(f"/projects/{project.slug}/").status_code == 404
