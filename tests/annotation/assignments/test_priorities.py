"""The order of work: which prompt somebody is given first."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from annotation.models import Assignment, Generation
from annotation.services.assignments.assignments import claim_next, open_assignments
from annotation.services.assignments.priorities import order_open_tasks, record_scores
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import send_back
from tests.cast import NOW, answer_for, luck


def given(annotator, project):
    """The prompts somebody is given, in this order."""
    prompts = []
    while task := claim_next(annotator=annotator, project=project, now=NOW, generator=luck()):
        prompts.append(task.prompt)
        submit_judgement(
            assignment=task, annotator=annotator, judgement=answer_for(task), now=NOW, generator=luck()
        )
    return prompts


def scored(prompt, *scores, by="round 1"):
    images = Generation.objects.filter(prompt=prompt).order_by("pk").values_list("pk", flat=True)
    record_scores(scores=dict(zip(images, scores, strict=True)), scored_by=by)


def claimed(annotator, project):
    return claim_next(annotator=annotator, project=project, now=NOW, generator=luck()).prompt


def test_as_imported_one_prompt_gets_all_its_opinions_before_the_next(a_project, a_prompt, alice, bob, rita):
    project = a_project(opinions_per_prompt=2)
    first, second = a_prompt(project=project), a_prompt(project=project)
    assert [claimed(one, project) for one in (alice, bob, rita)] == [first, first, second]


def test_breadth_first_every_prompt_has_one_opinion_before_any_has_two(a_project, a_prompt, alice, bob, rita):
    project = a_project(opinions_per_prompt=2, task_order="breadth")
    first, second = a_prompt(project=project), a_prompt(project=project)
    assert [claimed(one, project) for one in (alice, bob, rita)] == [first, second, first]


def test_mixed_the_order_says_nothing_of_the_import_and_everybody_has_the_same(
    a_project, a_prompt, alice, bob
):
    project = a_project(opinions_per_prompt=2, task_order="shuffled")
    prompts = [a_prompt(2, project=project) for _ in range(12)]
    found = given(alice, project)
    assert sorted(found, key=lambda prompt: prompt.pk) == prompts != found
    assert given(bob, project) == found


def test_where_the_model_is_least_sure_comes_first_and_what_it_has_not_scored_last(
    a_project, a_prompt, alice
):
    project = a_project(task_order="unsure", choice_rule="entropy")
    sure, unscored, unsure, between = (a_prompt(2, project=project) for _ in range(4))
    scored(sure, 5.0, -5.0)
    scored(unsure, 0.1, 0.0)
    scored(between, 1.0, 0.0)
    assert given(alice, project) == [unsure, between, sure, unscored]


def test_another_models_scores_sort_what_is_still_open(a_project, a_prompt, alice):
    project = a_project(task_order="unsure", choice_rule="entropy")
    one, other = a_prompt(2, project=project), a_prompt(2, project=project)
    scored(one, 0.0, 0.0)
    scored(other, 0.0, 3.0)
    scored(one, 0.0, 4.0, by="round 2")
    scored(other, 0.0, 0.0, by="round 2")
    assert given(alice, project) == [other, one]


def test_prompts_that_are_scored_already_when_work_opens_are_sorted_at_once(a_project, a_prompt, alice):
    project = a_project(task_order="unsure", choice_rule="entropy")
    sure, unsure = (a_prompt(2, project=project, opened=False) for _ in range(2))
    scored(sure, 2.0, 0.0)
    scored(unsure, 0.0, 0.0)
    open_assignments(prompts=[sure, unsure])
    assert Assignment.objects.get(prompt=unsure).priority == 2**30
    p = 1 / (1 + math.exp(-2))
    entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    assert Assignment.objects.get(prompt=sure).priority == pytest.approx(entropy * 2**30, abs=1)
    assert given(alice, project) == [unsure, sure]


def test_a_project_that_chooses_at_random_mixes_its_tasks_whatever_the_scores(a_project, a_prompt, alice):
    project = a_project(task_order="unsure", choice_rule="random")
    prompts = [a_prompt(2, project=project) for _ in range(12)]
    before = dict(Assignment.objects.values_list("prompt", "priority"))
    scored(prompts[0], 0.0, 0.0)
    assert dict(Assignment.objects.values_list("prompt", "priority")) == before
    assert given(alice, project) != prompts


def test_a_given_order_holds_for_open_tasks_before_what_it_leaves_out_and_what_is_to_be_last(
    a_project, a_prompt, alice, bob
):
    project = a_project(task_order="unsure", opinions_per_prompt=2)
    other = a_prompt(2)
    taken, late, last, left_out, first = (a_prompt(2, project=project) for _ in range(5))
    assert claimed(alice, project) == taken
    order_open_tasks(project=project, prompts=[first.pk, late.pk, other.pk], last=[last.pk])
    assert given(bob, project) == [first, late, taken, left_out, last]
    assert Assignment.objects.get(prompt=other).priority == 0  # of another project


def test_a_new_order_replaces_the_one_before(a_project, a_prompt, alice):
    project = a_project(task_order="unsure")
    one, two, three = (a_prompt(2, project=project) for _ in range(3))
    order_open_tasks(project=project, prompts=[one.pk, two.pk, three.pk])
    order_open_tasks(project=project, prompts=[three.pk, two.pk], last=[one.pk])
    assert given(alice, project) == [three, two, one]


@pytest.mark.django_db(transaction=True)
def test_an_order_passes_over_a_task_that_is_being_claimed_and_holds_none_up(a_project, a_prompt, alice):
    project = a_project(task_order="unsure")
    claimed_now, second, third = (a_prompt(2, project=project) for _ in range(3))

    def put_in_order():
        order_open_tasks(project=project, prompts=[third.pk, claimed_now.pk, second.pk])
        connection.close()

    with ThreadPoolExecutor(1) as threads, transaction.atomic():
        assert claimed(alice, project) == claimed_now
        threads.submit(put_in_order).result(timeout=10)
    tasks = Assignment.objects.order_by("-priority").values_list("prompt", "state")
    assert list(tasks) == [(third.pk, "open"), (second.pk, "open"), (claimed_now.pk, "leased")]


def test_in_other_projects_scores_sort_nothing(project, a_prompt):
    prompt = a_prompt(2)
    scored(prompt, 0.0, 0.0)
    assert Assignment.objects.get(prompt=prompt).priority == 0


def test_what_is_sent_back_keeps_its_place(a_project, a_prompt, alice, rita):
    project = a_project(task_order="shuffled")
    a_prompt(project=project)
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    submit_judgement(assignment=task, annotator=alice, judgement=answer_for(task), now=NOW, generator=luck())
    assert send_back(assignment=task, inspector=rita, reason="no", now=NOW).priority == task.priority != 0
