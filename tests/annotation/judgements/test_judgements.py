"""Recording answers: what counts as one, and that it is kept exactly once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, PromptLabel, Ranking, Rating
from annotation.services.assignments.assignments import LeaseLost, claim_next, save_draft
from annotation.services.judgements.answers import ImageRating, Judgement, Label
from annotation.services.judgements.judgements import (
    Contradiction,
    IncompleteRanking,
    IncompleteRatings,
    InvalidLabel,
    InvalidRating,
    SlotOutOfRange,
    SlotOverfull,
    UnknownImages,
    contradictions,
    submit_judgement,
)
from tests.cast import NOW, answer_for, luck

LATER = NOW + timedelta(hours=2)


@pytest.fixture
def held(alice, project, a_prompt):
    """An assignment of three images that alice holds."""
    a_prompt(images=3)
    return claim_next(annotator=alice, project=project, now=NOW, generator=luck())


def rated(overall, alignment, fidelity, problems):
    return ImageRating({"overall": overall, "alignment": alignment, "fidelity": fidelity}, problems)


def claim(annotator, project, now=NOW):
    return claim_next(annotator=annotator, project=project, now=now, generator=luck())


def submit(assignment, annotator, judgement, now=NOW, **more):
    return submit_judgement(
        assignment=assignment, annotator=annotator, judgement=judgement, now=now, generator=luck(), **more
    )


def refused(error, assignment, annotator, judgement):
    """The error that the answer gets; nothing was recorded."""
    with pytest.raises(error) as caught:
        submit(assignment, annotator, judgement)
    assert not Ranking.objects.exists()
    assert not Rating.objects.exists()
    assert not PromptLabel.objects.exists()
    assert Assignment.objects.get(pk=assignment.pk).state == "leased"
    return caught.value


def test_an_answer_is_recorded_whole_and_waits_for_an_inspector(held, alice):
    save_draft(assignment=held, annotator=alice, answer={"slot": "1"}, now=NOW)
    judgement = answer_for(held, slots=[1, 1, 4], overall=[6, 7, 2], problems=("body", "blurry"))
    ranking = submit(held, alice, judgement)
    held.refresh_from_db()
    assert (held.state, held.submitted_at, held.accepted_at) == ("submitted", NOW, None)
    assert dict(ranking.placements.values_list("generation_id", "slot")) == judgement.slots
    assert sorted(held.ratings.values_list("overall", flat=True)) == [2, 6, 7]
    assert held.ratings.first().problems == ["body", "blurry"]
    assert (held.label.category, held.label.intent_unclear, held.label.issues) == ("animals", False, [])
    assert held.draft is None


def test_an_answer_counts_at_once_where_nothing_is_inspected(a_project, a_prompt, alice):
    project = a_project(review_share=0.0)
    a_prompt(project=project)
    held = claim(alice, project)
    submit(held, alice, answer_for(held))
    held.refresh_from_db()
    assert (held.state, held.accepted_at) == ("accepted", NOW)


def test_about_the_projects_share_of_answers_is_inspected(a_project, a_prompt, alice):
    project = a_project(review_share=0.3, asks_label=False, asks_ratings=False)
    generator = luck()
    for _ in range(60):
        a_prompt(images=2, project=project)
        held = claim(alice, project)
        submit_judgement(
            assignment=held, annotator=alice, judgement=answer_for(held), now=NOW, generator=generator
        )
    assert 8 <= Assignment.objects.filter(project=project, state="submitted").count() <= 28


def test_a_project_may_ask_for_the_ranking_alone(a_project, a_prompt, alice):
    project = a_project(asks_label=False, asks_ratings=False)
    a_prompt(project=project)
    held = claim(alice, project)
    judgement = answer_for(held)
    refused(InvalidLabel, held, alice, replace(judgement, label=Label("animals", False, ())))
    rating = {held.order[0]: rated(1, 1, 1, ())}
    assert refused(InvalidRating, held, alice, replace(judgement, ratings=rating)).generations == tuple(
        rating
    )
    assert submit(held, alice, judgement)


def test_an_image_left_out_of_the_ranking_is_named(held, alice):
    judgement = answer_for(held)
    left_out = held.order[1]
    slots = {pk: slot for pk, slot in judgement.slots.items() if pk != left_out}
    error = refused(IncompleteRanking, held, alice, replace(judgement, slots=slots))
    assert error.generations == (left_out,)
    assert submit(held, alice, judgement)


def test_an_image_of_another_prompt_is_named(held, alice, a_prompt):
    stranger = a_prompt().generations.first().pk
    judgement = answer_for(held)
    error = refused(UnknownImages, held, alice, replace(judgement, slots={**judgement.slots, stranger: 5}))
    assert error.generations == (stranger,)


@pytest.mark.parametrize("slot", [0, 6, -1])
def test_a_slot_that_does_not_exist_is_refused(held, alice, slot):
    judgement = answer_for(held)
    wrong = max(held.order)
    error = refused(SlotOutOfRange, held, alice, replace(judgement, slots={**judgement.slots, wrong: slot}))
    assert error.generations == (wrong,)


def test_three_images_in_a_slot_for_two_are_refused_and_two_are_not(held, alice):
    error = refused(SlotOverfull, held, alice, answer_for(held, slots=[2, 2, 2], overall=[4, 4, 4]))
    assert sorted(error.generations) == sorted(held.order)
    assert submit(held, alice, answer_for(held, slots=[2, 2, 3], overall=[4, 4, 4]))


def test_an_image_that_is_not_rated_is_named(held, alice):
    judgement = answer_for(held)
    ratings = dict(judgement.ratings)
    ratings.pop(held.order[0])
    error = refused(IncompleteRatings, held, alice, replace(judgement, ratings=ratings))
    assert error.generations == (held.order[0],)


@pytest.mark.parametrize(
    "rating",
    [
        rated(0, 4, 4, ()),
        rated(4, 8, 4, ()),
        rated(4, 4, 99, ()),
        rated(4, 4, 4, ("ugly",)),
        rated(4, 4, 4, ("body", "body")),
    ],
)
def test_a_rating_off_its_scale_or_with_unknown_problems_is_refused(held, alice, rating):
    judgement = answer_for(held)
    wrong = held.order[0]
    error = refused(
        InvalidRating, held, alice, replace(judgement, ratings={**judgement.ratings, wrong: rating})
    )
    assert error.generations == (wrong,)


@pytest.mark.parametrize(
    "label",
    [None, Label("", False, ()), Label("cars", False, ()), Label("arts", False, ("rude",))],
)
def test_a_label_that_is_missing_or_unknown_is_refused(held, alice, label):
    refused(InvalidLabel, held, alice, replace(answer_for(held), label=label))


def test_a_better_rated_image_in_a_worse_slot_is_refused_and_named(held, alice):
    a, b, c = sorted(held.order)
    error = refused(Contradiction, held, alice, answer_for(held, slots=[1, 2, 3], overall=[3, 5, 1]))
    assert error.pairs == [(b, a)]
    assert error.generations == (a, b)
    assert c not in error.generations


def test_equal_ratings_in_different_slots_and_different_ratings_in_one_slot_agree(held, alice):
    assert submit(held, alice, answer_for(held, slots=[1, 1, 2], overall=[7, 5, 5]))


def test_a_contradiction_is_accepted_once_confirmed_where_the_project_only_warns(a_project, a_prompt, alice):
    project = a_project(consistency="warn")
    a_prompt(project=project)
    held = claim(alice, project)
    odd = answer_for(held, slots=[1, 2, 3], overall=[3, 5, 1])
    refused(Contradiction, held, alice, odd)
    assert submit(held, alice, odd, confirmed=True)


def test_confirming_does_not_help_where_the_project_refuses_contradictions(held, alice):
    with pytest.raises(Contradiction):
        submit(held, alice, answer_for(held, slots=[1, 2, 3], overall=[3, 5, 1]), confirmed=True)


def test_a_contradiction_is_accepted_where_the_rule_is_off(a_project, a_prompt, alice):
    project = a_project(consistency="off")
    a_prompt(project=project)
    held = claim(alice, project)
    assert submit(held, alice, answer_for(held, slots=[1, 2, 3], overall=[3, 5, 1]))


def test_contradictions_are_every_pair_that_two_loops_find():
    overall = {1: 7, 2: 3, 3: 5, 4: 5, 5: 1}
    slots = {1: 3, 2: 1, 3: 3, 4: 5, 5: 2}
    ratings = {pk: rated(score, 1, 1, ()) for pk, score in overall.items()}
    written_out = [(a, b) for a in slots for b in slots if overall[a] > overall[b] and slots[a] > slots[b]]
    assert sorted(contradictions(ratings, slots)) == sorted(written_out)


def test_the_same_answer_sent_twice_is_stored_once(held, alice):
    first = submit(held, alice, answer_for(held))
    assert submit(held, alice, answer_for(held)) == first
    assert Ranking.objects.count() == 1
    assert held.ratings.count() == 3


@pytest.mark.parametrize("other", [{"slots": [1, 2, 3]}, {"overall": [6, 6, 6]}, {"problems": ("body",)}])
def test_a_different_answer_for_a_closed_slot_is_refused(held, alice, other):
    submit(held, alice, answer_for(held))
    with pytest.raises(LeaseLost):
        submit(held, alice, answer_for(held, **other))
    assert Ranking.objects.count() == 1


def test_a_late_answer_counts_while_nobody_else_holds_the_slot(held, alice):
    assert submit(held, alice, answer_for(held), now=LATER)


def test_an_answer_for_a_slot_that_moved_on_is_refused(held, alice, bob, project):
    claim(bob, project, now=LATER)
    with pytest.raises(LeaseLost):
        submit(held, alice, answer_for(held), now=LATER)
    assert not Ranking.objects.exists()


def test_an_answer_for_anothers_slot_is_refused_even_when_it_equals_theirs(held, alice, bob):
    with pytest.raises(LeaseLost):
        submit(held, bob, answer_for(held))
    submit(held, alice, answer_for(held))
    with pytest.raises(LeaseLost):
        submit(held, bob, answer_for(held))


def test_submitting_takes_one_statement(a_prompt, alice, project):
    a_prompt(images=9)
    held = claim(alice, project)
    judgement = answer_for(held)
    with CaptureQueriesContext(connection) as queries:
        submit(held, alice, judgement)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 1, statements


def test_an_answer_is_keyed_by_image_so_the_order_shown_does_not_change_it(held, alice):
    judgement = answer_for(held)
    turned = Judgement(
        judgement.label,
        dict(reversed(judgement.ratings.items())),
        dict(reversed(judgement.slots.items())),
    )
    assert submit(held, alice, judgement) == submit(held, alice, turned)


@pytest.mark.django_db(transaction=True)
def test_a_double_click_stores_one_answer_and_both_clicks_see_it(held, alice):
    judgement = answer_for(held)

    def click(_):
        try:
            return submit(held, alice, judgement)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        rankings = list(threads.map(click, range(8)))
    assert len(set(rankings)) == 1
    assert Ranking.objects.count() == 1
    assert Rating.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_late_answer_and_a_new_claim_never_both_win(alice, bob, project, a_prompt):
    for _ in range(8):
        a_prompt()
        held = claim(alice, project)
        judgement = answer_for(held)

        def late(held=held, judgement=judgement):
            try:
                return submit(held, alice, judgement, now=LATER)
            except LeaseLost:
                return None
            finally:
                connection.close()

        def taken():
            try:
                return claim(bob, project, now=LATER)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as threads:
            answered, claimed = threads.submit(late), threads.submit(taken)
        assert (answered.result() is None) != (claimed.result() is None)
        Assignment.objects.filter(pk=held.pk).delete()
