"""Handing out work: who gets which prompt, and what a lease promises."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, User
from annotation.services.assignments.assignments import (
    LeaseLost,
    claim_next,
    open_assignments,
    save_draft,
    withdraw_open,
)
from annotation.services.assignments.skips import skip_task
from annotation.services.checks.references import claim_reference
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import SettingsFrozen, change_settings
from tests.cast import NOW, answer_for, luck

HOUR = timedelta(minutes=60)


def claim(annotator, project, now=NOW, seed=1):
    return claim_next(annotator=annotator, project=project, now=now, generator=random.Random(seed))


def test_a_prompt_is_opened_once_with_as_many_assignments_as_opinions_wanted(a_project, a_prompt):
    project = a_project(opinions_per_prompt=3)
    prompt = a_prompt(project=project, opened=False)
    assert len(open_assignments(prompts=[prompt])) == 3
    assert open_assignments(prompts=[prompt]) == []
    assert prompt.assignments.count() == 3


def test_a_prompt_with_too_few_or_too_many_images_is_not_opened(a_project, a_prompt):
    project = a_project(slots=2, per_slot=1)
    lonely, fine = (a_prompt(images, project=project, opened=False) for images in (1, 2))
    crowded = a_prompt(2, project=project, opened=False)
    type(project).objects.filter(pk=project.pk).update(per_slot=2)
    assert [opened.prompt for opened in open_assignments(prompts=[lonely, fine, crowded])] == [fine, crowded]


def test_a_prompt_whose_images_came_without_files_is_not_opened(a_prompt):
    prompt = a_prompt(images=2, opened=False)
    prompt.generations.create(source="elsewhere.png")
    assert open_assignments(prompts=[prompt]) == []
    prompt.generations.filter(source="elsewhere.png").delete()
    assert len(open_assignments(prompts=[prompt])) == 1


def test_an_annotator_gets_a_prompt_with_its_images_shuffled_and_the_order_stored(alice, project, a_prompt):
    prompt = a_prompt(images=8)
    held = claim(alice, project)
    held.refresh_from_db()
    made = list(prompt.generations.values_list("pk", flat=True))
    assert sorted(held.order) == made
    assert held.order != made
    assert held.leased_until == NOW + HOUR


def test_nobody_gets_a_prompt_where_none_is_left(alice, project):
    assert claim(alice, project) is None


def test_asking_again_gives_the_same_assignment_with_its_lease_renewed_and_its_order_kept(
    alice, project, a_prompt
):
    a_prompt(images=8)
    a_prompt()
    first = claim(alice, project, seed=1)
    again = claim(alice, project, now=NOW + HOUR / 2, seed=2)
    assert (again, again.order) == (first, first.order)
    assert again.leased_until == NOW + 1.5 * HOUR


def test_a_lapsed_lease_goes_to_the_next_annotator_shuffled_anew_without_the_draft(
    alice, bob, project, a_prompt
):
    a_prompt(images=8)
    held = claim(alice, project, seed=1)
    save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW)
    assert claim(bob, project) is None
    taken = claim(bob, project, now=NOW + HOUR, seed=2)
    assert taken == held
    assert taken.order != held.order
    taken.refresh_from_db()
    assert (taken.draft, taken.drafted_at) == (None, None)


def test_a_lapsed_lease_that_nobody_took_is_still_the_annotators(alice, project, a_prompt):
    a_prompt(images=8)
    held = claim(alice, project, seed=1)
    save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW)
    again = claim(alice, project, now=NOW + 5 * HOUR, seed=2)
    assert (again, again.order) == (held, held.order)
    assert again.draft == {"slot": "1"}


def test_an_annotator_never_gets_a_second_opinion_on_one_prompt(a_project, a_prompt, alice):
    project = a_project(opinions_per_prompt=2)
    a_prompt(project=project)
    held = claim(alice, project)
    submit_judgement(assignment=held, annotator=alice, judgement=answer_for(held), now=NOW, generator=luck())
    assert claim(alice, project) is None


def test_a_draft_replaces_the_one_before_and_renews_the_lease(alice, project, a_prompt):
    a_prompt()
    held = claim(alice, project)
    save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW)
    save_draft(assignment=held, annotator=alice, answer={"slot": "2"}, now=NOW + HOUR / 2)
    held.refresh_from_db()
    assert (held.draft, held.drafted_at) == ({"slot": "2"}, NOW + HOUR / 2)
    assert held.leased_until == NOW + 1.5 * HOUR


def test_a_draft_for_an_assignment_that_moved_on_is_refused(alice, bob, project, a_prompt):
    a_prompt()
    held = claim(alice, project)
    claim(bob, project, now=NOW + HOUR)
    with pytest.raises(LeaseLost):
        save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW + HOUR)
    assert Assignment.objects.get().draft is None


def test_images_that_came_without_files_are_not_shown(alice, project, a_prompt):
    prompt = a_prompt(images=3)
    bare = prompt.generations.create(source="elsewhere.png")
    assert bare.pk not in claim(alice, project).order


def test_a_claim_takes_two_statements_and_its_transaction(alice, project, a_prompt):
    a_prompt()
    with CaptureQueriesContext(connection) as queries:
        claim(alice, project)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 2, statements


def want_opinions(project, number):
    return change_settings(project=project, opinions_per_prompt=number)


def in_threads(work, people, workers=16):
    """What `work` returns for each person, all at once, each thread with its own connection."""

    def one(person):
        try:
            return work(person)
        finally:
            connection.close()

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(one, people))


@pytest.mark.django_db(transaction=True)
def test_sixteen_annotators_racing_for_ten_prompts_get_one_each_and_six_get_none(project, a_prompt):
    prompts = [a_prompt() for _ in range(10)]
    people = [User.objects.create_user(f"racer-{i}") for i in range(16)]
    held = in_threads(lambda person: claim(person, project), people)
    assert sorted(assignment.prompt_id for assignment in held if assignment) == sorted(
        prompt.pk for prompt in prompts
    )
    assert held.count(None) == 6


@pytest.mark.django_db(transaction=True)
def test_two_annotators_racing_for_one_prompt_do_not_both_get_it(alice, bob, project, a_prompt):
    for _ in range(10):
        a_prompt()
        held = in_threads(lambda person: claim(person, project), [alice, bob], workers=2)
        assert [assignment is None for assignment in held].count(True) == 1
        Assignment.objects.filter(state="leased").delete()


@pytest.mark.django_db(transaction=True)
def test_settings_that_change_while_work_is_being_opened_wait_and_are_refused(a_project, a_prompt):
    project = a_project(opinions_per_prompt=1)
    prompt = a_prompt(project=project, opened=False)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            open_assignments(prompts=[prompt])
            changed = threads.submit(in_threads, lambda n: want_opinions(project, n), [3], 1)
            with pytest.raises(TimeoutError):
                changed.result(timeout=0.3)
        with pytest.raises(SettingsFrozen):
            changed.result(timeout=10)
    assert prompt.assignments.count() == 1


@pytest.mark.django_db(transaction=True)
def test_work_that_is_opened_while_settings_change_waits_and_follows_the_new_ones(a_project, a_prompt):
    project = a_project(opinions_per_prompt=1)
    prompt = a_prompt(project=project, opened=False)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            want_opinions(project, 3)
            opened = threads.submit(in_threads, lambda one: open_assignments(prompts=[one]), [prompt], 1)
            with pytest.raises(TimeoutError):
                opened.result(timeout=0.3)
        opened.result(timeout=10)
    assert prompt.assignments.count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_who_open_the_same_prompt_at_once_open_it_once(project, a_prompt):
    prompts = [a_prompt(opened=False) for _ in range(3)]
    in_threads(lambda _: open_assignments(prompts=prompts), range(4), workers=4)
    assert [prompt.assignments.count() for prompt in prompts] == [1, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_two_tabs_of_one_annotator_get_the_same_prompt(alice, project, a_prompt):
    for _ in range(5):
        a_prompt()
    held = in_threads(lambda person: claim(person, project), [alice] * 8, workers=8)
    assert len({(assignment.pk, tuple(assignment.order)) for assignment in held}) == 1


@pytest.mark.django_db(transaction=True)
def test_who_asks_while_their_draft_is_being_saved_waits_for_it_and_keeps_the_task(alice, project, a_prompt):
    a_prompt()
    a_prompt()
    held = claim(alice, project)
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW)
            asked = threads.submit(in_threads, lambda person: claim(person, project), [alice], 1)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.3)
        assert asked.result(timeout=10) == [held]


def test_what_nobody_has_begun_can_be_withdrawn_and_asked_for_again(alice, ada, project, a_prompt):
    first, second = a_prompt(), a_prompt()
    held = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    assert withdraw_open(project=project, by=ada) == 1
    assert list(Assignment.objects.all()) == [held]
    assert project.actions.get(kind="work.withdrawn").subject == "1 opinions"
    assert withdraw_open(project=project, by=ada) == 0
    other = second if held.prompt == first else first
    (again,) = open_assignments(prompts=[first, second])
    assert again.prompt == other


def test_what_was_withdrawn_of_a_prompt_that_was_begun_is_asked_for_again(alice, ada, a_project, a_prompt):
    project = a_project(opinions_per_prompt=3)
    prompt = a_prompt(project=project)
    held = claim(alice, project)
    skip_task(assignment=held, annotator=alice, reason="unfit", note="", now=NOW)  # somebody else is asked
    assert withdraw_open(project=project, by=ada) == 3
    assert len(open_assignments(prompts=[prompt], by=ada)) == 3
    assert claim(ada, project) is not None
    assert withdraw_open(project=project, by=ada) == 2
    assert len(open_assignments(prompts=[prompt], by=ada)) == 2
    assert open_assignments(prompts=[prompt], by=ada) == []


def test_a_prompt_kept_for_references_is_not_opened(project, a_prompt, rosa):
    prompt = a_prompt(opened=False)
    claim_reference(researcher=rosa, project=project, now=NOW, generator=luck(), prompt=prompt)
    assert open_assignments(prompts=[prompt]) == []
