"""Gold and repeated tasks: mixed in without a tell, compared afterwards, and what people's figures are."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, Check, Reference
from annotation.selectors.checks.checks import ENOUGH, Agreed, agreement_by_annotator, quality_of
from annotation.selectors.preferences import count_finished, finished_rankings
from annotation.selectors.results.progress import annotator_progress, project_progress
from annotation.services.assignments.assignments import claim_next
from annotation.services.checks.checks import REPEAT_AFTER, compare_answers, draw_check
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept, send_back
from annotation.services.projects.prompts import add_prompts
from tests.cast import NOW, answer_for

Kind = Assignment.Kind
MINUTE = timedelta(minutes=1)


class Drawing(random.Random):
    """Chance that always draws the number given; shuffles as usual."""

    def __init__(self, number):
        super().__init__(7)
        self.number = number

    def random(self):
        return self.number


GOLD, REPEAT, NEW = Drawing(0.0), Drawing(0.25), Drawing(0.99)


def claim(annotator, project, generator=NEW, now=NOW):
    return claim_next(annotator=annotator, project=project, now=now, generator=generator)


def answer(assignment, slots=None, now=NOW, generator=NEW):
    submit_judgement(
        assignment=assignment,
        annotator=assignment.annotator,
        judgement=answer_for(assignment, slots=slots),
        now=now,
        generator=generator,
    )
    return assignment


@pytest.fixture
def checked(a_project, alice, bob, rita):
    """A project with gold and repeats, and review of nothing."""
    project = a_project(gold_share=0.2, repeat_share=0.1, review_share=0.0)
    for person, role in ((alice, "annotator"), (bob, "annotator"), (rita, "inspector")):
        project.memberships.create(user=person, role=role)
    return project


def test_a_gold_task_comes_in_place_of_new_work_and_takes_none_of_it(checked, alice, a_gold, a_prompt):
    gold = a_gold(checked)
    a_prompt(project=checked)
    task = claim(alice, checked, GOLD)
    assert (task.kind, task.prompt, task.against) == (Kind.GOLD, gold.prompt, gold.answer)
    assert sorted(task.order) == sorted(gold.answer.order)
    assert Assignment.objects.filter(state="open").count() == 1
    assert claim(alice, checked, NEW) == task


def test_nobody_gets_the_same_gold_task_twice(checked, alice, a_gold, a_prompt):
    a_gold(checked)
    for _ in range(2):
        a_prompt(project=checked)
    answer(claim(alice, checked, GOLD))
    assert claim(alice, checked, GOLD).kind == Kind.ORDINARY


def test_after_the_last_new_task_no_gold_follows_which_would_tell(checked, alice, a_gold):
    a_gold(checked)
    assert claim(alice, checked, GOLD) is None


def test_a_retired_reference_and_one_for_training_are_not_mixed_in(checked, alice, a_gold, a_prompt):
    a_gold(checked, retired_at=NOW)
    a_gold(checked, purpose="training")
    a_prompt(project=checked)
    assert claim(alice, checked, GOLD).kind == Kind.ORDINARY


def test_gold_comes_at_the_rate_set(checked, alice, a_gold):
    a_gold(checked)
    generator = random.Random(3)
    drawn = [draw_check(annotator=alice, project=checked, generator=generator) for _ in range(200)]
    assert 25 <= sum(check is not None for check in drawn) <= 55


def test_a_repeat_is_an_own_answer_of_long_ago_asked_once_more(checked, alice, a_prompt):
    a_prompt(project=checked)
    order = answer(claim(alice, checked)).order
    prompts = add_prompts(project=checked, texts={f"k{i}": f"text {i}" for i in range(REPEAT_AFTER + 1)})[0]
    Assignment.objects.bulk_create(
        Assignment(
            project=checked,
            prompt=prompt,
            annotator=alice,
            state="accepted",
            order=order,
            leased_until=NOW,
            submitted_at=NOW + number * MINUTE,
            accepted_at=NOW,
        )
        for number, prompt in enumerate(prompts.values(), start=1)
    )
    oldest = Assignment.objects.order_by("submitted_at")[:2]
    a_prompt(project=checked)
    task = claim(alice, checked, REPEAT)
    assert task.kind == Kind.REPEAT
    assert task.against in oldest
    assert sorted(task.order) == sorted(order)
    answer(task)
    again = answer(claim(alice, checked, REPEAT))
    assert again.against in oldest
    assert again.prompt != task.prompt
    assert claim(alice, checked, REPEAT).kind == Kind.ORDINARY


def test_checks_go_to_inspectors_like_other_work_and_sent_back_ask_nobody_anew(
    checked, alice, rita, a_gold, a_prompt
):
    checked.review_share = 1.0
    checked.save()
    a_gold(checked)
    a_prompt(project=checked)
    task = answer(claim(alice, checked, GOLD))
    task.refresh_from_db()
    assert task.state == "submitted"
    assert send_back(assignment=task, inspector=rita, reason="hasty", now=NOW) is None


def test_checks_count_for_their_annotator_and_are_no_preferences(checked, alice, a_gold, a_prompt):
    a_gold(checked)
    a_prompt(project=checked)
    answer(claim(alice, checked, GOLD))
    answer(claim(alice, checked, NEW))
    assert annotator_progress(alice, checked).done == 2
    assert project_progress(checked, now=NOW).finished == count_finished(checked) == 1
    assert project_progress(checked, now=NOW).pairs == 2  # of three images, two tied
    assert [ranking.assignment_id for ranking in finished_rankings(checked)] == list(
        Assignment.objects.ordinary().filter(state="accepted").values_list("pk", flat=True)
    )


def test_answers_are_compared_once(checked, alice, a_gold, a_prompt):
    a_gold(checked, slots=[1, 2, 3])
    a_prompt(project=checked)
    task = answer(claim(alice, checked, GOLD), slots=[1, 3, 3])
    assert compare_answers(now=NOW) == 1
    assert compare_answers(now=NOW) == 0
    check = Check.objects.get()
    assert (check.assignment, check.agreed, check.pairs) == (task, 2.5, 3)


def test_own_quality_leaves_out_today_and_says_nothing_of_too_few(checked, alice, a_gold, a_prompt):
    a_prompt(project=checked)
    for _ in range(ENOUGH + 1):
        a_gold(checked, slots=[1, 2, 3])
        answer(claim(alice, checked, GOLD), slots=[1, 2, 3])
    compare_answers(now=NOW)
    assert quality_of(alice, checked, before=NOW) == Agreed()
    shown = quality_of(alice, checked, before=NOW + MINUTE)
    assert (shown.answers, shown.share) == (ENOUGH + 1, 1.0)
    assert Agreed(ENOUGH - 1, 4.0, 4).share is None
    assert agreement_by_annotator(checked)[alice.pk][Kind.GOLD] == shown


def test_a_gold_task_costs_at_most_six_statements(checked, alice, a_gold, a_prompt):
    a_gold(checked)
    a_prompt(project=checked)
    with CaptureQueriesContext(connection) as queries:
        assert claim(alice, checked, GOLD).kind == Kind.GOLD
    assert sum("SAVEPOINT" not in query["sql"] for query in queries) <= 6


def test_a_gold_answer_that_was_sent_back_is_trusted_no_more(checked, ada, rita, alice, a_gold, a_prompt):
    gold = a_gold(checked)
    Assignment.objects.filter(pk=gold.answer.pk).update(kind=Kind.ORDINARY)
    send_back(assignment=gold.answer, inspector=rita, reason="wrong", now=NOW)
    a_prompt(project=checked)
    assert claim(alice, checked, GOLD).kind == Kind.ORDINARY
    assert Reference.objects.get().answer.state == "rejected"


def test_an_accepted_check_is_no_preference_either(checked, alice, rita, a_gold, a_prompt):
    checked.review_share = 1.0
    checked.save()
    a_gold(checked)
    a_prompt(project=checked)
    accept(assignment=answer(claim(alice, checked, GOLD)), inspector=rita, now=NOW)
    assert count_finished(checked) == 0
