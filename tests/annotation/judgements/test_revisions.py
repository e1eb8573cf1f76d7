"""Changing one's own answer: until it was inspected or something was made of it, and what it said stays."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import InternalError, connection, transaction

from annotation.models import Action, Assignment, Check, Export, Placement, Prompt, Rating, Revision
from annotation.selectors.assignments import own_answers, why_closed
from annotation.selectors.checks.checks import quality_of
from annotation.selectors.exports import Selection, batches
from annotation.services.assignments.assignments import claim_next
from annotation.services.checks.checks import compare_answers
from annotation.services.checks.references import choose_reference
from annotation.services.exports import request_export
from annotation.services.judgements.answers import Judgement
from annotation.services.judgements.judgements import Contradiction, IncompleteRanking, submit_judgement
from annotation.services.judgements.reviews import NotUnderReview, accept, send_back
from annotation.services.judgements.revisions import (
    AnswerChanged,
    AnswerClosed,
    NoOwnAnswer,
    revise_judgement,
)
from annotation.services.projects.projects import add_member
from rewardmodel.services.datasets import freeze_dataset
from tests.annotation.assignments.test_assignments import in_threads
from tests.annotation.checks.test_checks import GOLD, NEW
from tests.cast import NOW, answer_for, luck

LATER, TOMORROW = NOW + timedelta(hours=1), NOW + timedelta(days=1)


def submit(annotator, project, now=NOW, generator=NEW, slots=(1, 2, 3)):
    task = claim_next(annotator=annotator, project=project, now=now, generator=generator)
    judgement = answer_for(task, slots=slots)
    submit_judgement(assignment=task, annotator=annotator, judgement=judgement, now=now, generator=luck())
    task.refresh_from_db()
    return task


def revise(answer, slots=(3, 2, 1), *, by=None, now=LATER, version=None, judgement=None):
    revise_judgement(
        assignment=answer,
        annotator=by or answer.annotator,
        judgement=judgement or answer_for(answer, slots=slots),
        version=answer.version if version is None else version,
        now=now,
    )
    answer.refresh_from_db()


def slots_of(answer):
    placed = Placement.objects.filter(ranking__assignment=answer).order_by("generation")
    return tuple(placed.values_list("slot", flat=True))


@pytest.fixture
def answer(alice, project, a_prompt):
    """Alice's, waiting for an inspector."""
    a_prompt()
    return submit(alice, project)


@pytest.fixture
def counted(a_project, alice, rita, a_prompt):
    """Alice's, in a project without inspection: it counts at once."""
    project = a_project(review_share=0.0)
    add_member(project=project, user=alice, role="annotator")
    add_member(project=project, user=rita, role="inspector")
    a_prompt(project=project)
    return submit(alice, project)


def test_a_changed_answer_says_the_new_and_keeps_the_old_as_a_revision(answer, alice):
    revise(answer)
    assert slots_of(answer) == (3, 2, 1)
    assert Rating.objects.filter(assignment=answer).count() == 3
    kept = Revision.objects.get()
    assert (kept.assignment, kept.number, kept.replaced_at) == (answer, 1, LATER)
    assert list(kept.said["slots"].values()) == [1, 2, 3]
    assert kept.said["label"] == {"category": "animals", "intent_unclear": False, "issues": []}
    assert (answer.state, answer.submitted_at, answer.revised_at) == ("submitted", NOW, LATER)
    logged = Action.objects.get(kind=Action.Kind.REVISED)
    assert (logged.actor, logged.subject, logged.details) == (alice, f"answer {answer.pk}", {"revision": 1})

    revise(answer, (2, 2, 1), now=TOMORROW)
    assert [list(one.said["slots"].values()) for one in answer.revisions.all()] == [[1, 2, 3], [3, 2, 1]]


def test_the_database_keeps_revisions_as_they_are(answer):
    revise(answer)
    for change in (lambda: Revision.objects.update(number=2), Revision.objects.all().delete):
        with pytest.raises(InternalError), transaction.atomic():
            change()


def test_the_same_words_again_change_nothing(answer):
    revise(answer, (1, 2, 3))
    assert not Revision.objects.exists()
    version = answer.version
    revise(answer, (3, 2, 1))
    revise(answer, (3, 2, 1), version=version)  # the receipt was lost: sent again
    assert Revision.objects.count() == 1


def test_a_change_is_held_to_the_rules_of_an_answer(answer):
    whole = answer_for(answer)
    with pytest.raises(IncompleteRanking):
        revise(answer, judgement=Judgement(whole.label, whole.ratings, {}))
    with pytest.raises(Contradiction):
        revise(answer, judgement=answer_for(answer, slots=(3, 2, 1), overall=(7, 5, 3)))
    assert slots_of(answer) == (1, 2, 3)
    assert not Revision.objects.exists()


def test_nobody_changes_an_answer_of_somebody_else(answer, bob):
    with pytest.raises(NoOwnAnswer):
        revise(answer, by=bob)
    assert slots_of(answer) == (1, 2, 3)


def test_a_task_in_hand_is_no_answer_yet(alice, project, a_prompt):
    a_prompt()
    task = claim_next(annotator=alice, project=project, now=NOW, generator=NEW)
    with pytest.raises(NoOwnAnswer):
        revise(task)


def test_the_later_of_two_tabs_is_told_that_the_answer_changed(answer):
    opened = answer.version
    revise(answer, (3, 2, 1), version=opened)
    with pytest.raises(AnswerChanged):
        revise(answer, (2, 1, 3), version=opened)
    assert slots_of(answer) == (3, 2, 1)


@pytest.mark.django_db(transaction=True)
def test_of_two_changes_at_once_one_is_stored(answer):
    def change(slots):
        try:
            revise(Assignment.objects.get(pk=answer.pk), slots, version="")
            return True
        except AnswerChanged:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(change, [(3, 2, 1), (2, 1, 3)])) == [False, True]
    assert Revision.objects.count() == 1
    assert Placement.objects.filter(ranking__assignment=answer).count() == 3


def test_an_accepted_answer_is_closed(answer, rita):
    accept(assignment=answer, inspector=rita, now=LATER)
    with pytest.raises(AnswerClosed, match="accepted"):
        revise(answer)
    assert slots_of(answer) == (1, 2, 3)


def change_while(act, answer):
    """Its annotator changes the answer while what `act` does is under way; what they are told."""
    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            act()
            changing = threads.submit(in_threads, revise, [Assignment.objects.get(pk=answer.pk)], 1)
            with pytest.raises(TimeoutError):
                changing.result(timeout=0.5)
        return changing.exception(timeout=10)


@pytest.mark.django_db(transaction=True)
def test_a_change_waits_for_an_inspector_who_is_accepting_the_answer(answer, rita):
    read = Assignment.objects.get(pk=answer.pk)
    told = change_while(lambda: accept(assignment=read, inspector=rita, now=LATER), answer)
    assert isinstance(told, AnswerClosed)
    assert slots_of(answer) == (1, 2, 3)


@pytest.mark.django_db(transaction=True)
def test_a_change_waits_for_an_admin_who_is_making_the_answer_a_reference(counted, alice, ada):
    add_member(project=counted.project, user=alice, role="researcher")
    told = change_while(
        lambda: choose_reference(answer=counted, purpose="gold", note="", by=ada, now=LATER), counted
    )
    assert isinstance(told, AnswerClosed)
    assert slots_of(counted) == (1, 2, 3)


def test_an_answer_sent_back_is_closed_and_says_why(answer, rita):
    send_back(assignment=answer, inspector=rita, reason="The tree is blue.", now=LATER)
    with pytest.raises(AnswerClosed, match="The tree is blue"):
        revise(answer)


def test_an_inspector_judges_no_answer_that_changed_while_they_read_it(answer, rita):
    read = Assignment.objects.get(pk=answer.pk)
    revise(answer)
    with pytest.raises(NotUnderReview):
        accept(assignment=read, inspector=rita, now=LATER)
    accept(assignment=answer, inspector=rita, now=LATER)


def test_an_answer_that_counts_uninspected_is_open_until_it_is_exported(counted, ada):
    revise(counted)
    assert (counted.state, counted.accepted_at) == ("accepted", NOW)
    request_export(project=counted.project, format="imagereward", by=ada, now=LATER)
    with pytest.raises(AnswerClosed, match="exported"):
        revise(counted, (2, 1, 3))
    # The export reads what the answer said when it was asked for, however often it is interrupted.
    asked = Export.objects.get()
    (batch,) = batches(Selection(counted.project, asked.accepted_until))
    assert sorted(batch.rankings[0].slots) == [1, 2, 3]
    assert slots_of(counted) == (3, 2, 1)


def test_answers_after_the_last_export_stay_open(counted, alice, ada, a_prompt):
    request_export(project=counted.project, format="imagereward", by=ada, now=NOW)
    a_prompt(project=counted.project)
    later = submit(alice, counted.project, now=LATER)
    revise(later, now=LATER)
    with pytest.raises(AnswerClosed):
        revise(counted)


def test_an_answer_of_a_frozen_dataset_is_closed(counted, settings, tmp_path):
    settings.DATASETS_DIR = tmp_path
    revise(counted)
    freeze_dataset(project=counted.project)
    with pytest.raises(AnswerClosed, match="dataset"):
        revise(counted, (2, 1, 3))


def test_an_answer_that_others_are_compared_with_is_closed(counted, alice, ada):
    add_member(project=counted.project, user=alice, role="researcher")
    choose_reference(answer=counted, purpose="gold", note="", by=ada, now=LATER)
    with pytest.raises(AnswerClosed, match="compared"):
        revise(counted)


def test_training_and_tests_stay_as_they_were_answered(alice, project, answer):
    Assignment.objects.filter(pk=answer.pk).update(kind="qualification", against=_other(answer))
    assert not own_answers(alice, project).exists()
    with pytest.raises(NoOwnAnswer):
        revise(answer)


def _other(answer):
    return Assignment.objects.create(project=answer.project, prompt=answer.prompt)


def test_agreement_on_the_prompt_is_measured_anew(counted):
    Prompt.objects.update(agreement=0.5, opinions_compared=1)
    revise(counted)
    prompt = Prompt.objects.get(pk=counted.prompt_id)
    assert (prompt.agreement, prompt.opinions_compared) == (None, 0)


# Gold tasks: the same to their annotator as any other


@pytest.fixture
def gold(a_project, a_gold, alice, a_prompt):
    """Alice's answer to a gold task, against the reference, and compared."""
    project = a_project(gold_share=0.2, review_share=1.0)
    add_member(project=project, user=alice, role="annotator")
    a_gold(project, slots=(1, 2, 3))
    a_prompt(project=project)
    answer = submit(alice, project, generator=GOLD, slots=(3, 2, 1))
    assert answer.kind == "gold"
    compare_answers(now=NOW)
    return answer


def test_of_a_changed_gold_answer_the_first_words_count(gold):
    revise(gold, (2, 1, 3), now=LATER)
    revise(gold, (1, 2, 3), now=TOMORROW)
    compare_answers(now=TOMORROW + timedelta(days=1))
    assert (Check.objects.get().agreed, Check.objects.get().compared_at) == (0, NOW)


def test_a_gold_answer_changed_before_it_was_compared_is_compared_as_it_was(gold):
    Check.objects.all().delete()
    revise(gold, (2, 1, 3), now=LATER)
    revise(gold, (1, 2, 3), now=LATER)
    compare_answers(now=LATER)
    assert Check.objects.get().agreed == 0


def test_what_an_annotator_reads_of_their_agreement_never_moves_when_they_change_an_answer(gold, alice):
    def told(now):
        compare_answers(now=now)
        return quality_of(alice, gold.project, before=now.replace(hour=0, minute=0))

    before = told(TOMORROW)
    revise(gold, (1, 2, 3), now=TOMORROW)
    assert told(TOMORROW + timedelta(minutes=5)) == before
    assert told(TOMORROW + timedelta(days=1)) == before


def test_gold_answers_are_listed_and_closed_as_all_others(gold, alice, rita):
    (listed,) = own_answers(alice, gold.project)
    assert (listed.pk, why_closed(listed)) == (gold.pk, "")
    add_member(project=gold.project, user=rita, role="inspector")
    accept(assignment=gold, inspector=rita, now=LATER)
    (listed,) = own_answers(alice, gold.project)
    assert why_closed(listed) == "An inspector has accepted this answer."


@pytest.fixture
def repeated(answer):
    """The answer's prompt once more before Alice, an hour later."""
    return Assignment.objects.create(
        project=answer.project,
        prompt=answer.prompt,
        annotator=answer.annotator,
        kind="repeat",
        against=answer,
        state="leased",
        order=answer.order,
        claimed_at=LATER,
        leased_until=TOMORROW,
    )


def answer_again(repeat, slots):
    again = answer_for(repeat, slots=slots)
    submit_judgement(
        assignment=repeat, annotator=repeat.annotator, judgement=again, now=LATER, generator=luck()
    )


@pytest.mark.parametrize("is_compared_before", [True, False])
def test_changing_the_first_answer_after_the_repeat_does_not_move_their_agreement(
    answer, repeated, is_compared_before
):
    answer_again(repeated, (3, 2, 1))
    if is_compared_before:
        compare_answers(now=LATER)
    revise(answer, (3, 2, 1), now=LATER + timedelta(minutes=1))
    compare_answers(now=TOMORROW + timedelta(days=1))
    assert Check.objects.get().agreed == 0


def test_a_first_answer_changed_before_the_repeat_is_compared_as_changed(answer, repeated):
    revise(answer, (3, 2, 1), now=LATER - timedelta(minutes=1))
    answer_again(repeated, (3, 2, 1))
    compare_answers(now=LATER)
    assert Check.objects.get().agreed == 3
