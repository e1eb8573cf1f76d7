"""Inspecting: what an inspector's verdict does to an answer, and to whom the prompt goes next."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from annotation.models import Assignment, Review
from annotation.services.actions import ReasonMissing
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import NotUnderReview, OwnAnswer, accept, send_back
from tests.cast import NOW, answer_for, luck

LATER = NOW + timedelta(hours=1)


def claim(annotator, project, now=NOW):
    return claim_next(annotator=annotator, project=project, now=now, generator=luck())


@pytest.fixture
def submitted(alice, project, a_prompt):
    """An answer of alice's that waits for an inspector."""
    a_prompt()
    held = claim(alice, project)
    submit_judgement(assignment=held, annotator=alice, judgement=answer_for(held), now=NOW, generator=luck())
    return held


def test_an_accepted_answer_counts_from_then_on(submitted, rita):
    accept(assignment=submitted, inspector=rita, now=LATER)
    submitted.refresh_from_db()
    assert (submitted.state, submitted.accepted_at) == ("accepted", LATER)
    assert submitted.reviews.get().inspector == rita


def test_an_answer_sent_back_stays_and_somebody_else_is_asked(submitted, alice, bob, rita, project):
    opened = send_back(assignment=submitted, inspector=rita, reason="all in one slot", now=LATER)
    submitted.refresh_from_db()
    assert submitted.state == "rejected"
    assert submitted.ranking.placements.count() == 3
    assert claim(alice, project, now=LATER) is None
    assert claim(bob, project, now=LATER) == opened


def test_an_accepted_answer_may_still_be_sent_back(submitted, rita):
    accept(assignment=submitted, inspector=rita, now=LATER)
    send_back(assignment=submitted, inspector=rita, reason="on second thoughts", now=LATER)
    submitted.refresh_from_db()
    assert (submitted.state, submitted.accepted_at) == ("rejected", None)
    assert [review.verdict for review in submitted.reviews.all()] == ["rejected", "accepted"]


def test_nobody_reviews_their_own_answer(submitted, alice):
    with pytest.raises(OwnAnswer):
        accept(assignment=submitted, inspector=alice, now=LATER)
    with pytest.raises(OwnAnswer):
        send_back(assignment=submitted, inspector=alice, reason="mine", now=LATER)
    assert not Review.objects.exists()


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_an_answer_is_not_sent_back_without_a_reason(submitted, rita, reason):
    with pytest.raises(ReasonMissing):
        send_back(assignment=submitted, inspector=rita, reason=reason, now=LATER)
    assert Assignment.objects.get().state == "submitted"


def test_an_answer_sent_back_is_not_accepted_afterwards(submitted, rita):
    send_back(assignment=submitted, inspector=rita, reason="no", now=LATER)
    with pytest.raises(NotUnderReview):
        accept(assignment=submitted, inspector=rita, now=LATER)
    with pytest.raises(NotUnderReview):
        send_back(assignment=submitted, inspector=rita, reason="again", now=LATER)
    assert Assignment.objects.count() == 2


def test_an_unfinished_answer_is_not_reviewed(alice, rita, project, a_prompt):
    a_prompt()
    with pytest.raises(NotUnderReview):
        accept(assignment=claim(alice, project), inspector=rita, now=LATER)


@pytest.mark.django_db(transaction=True)
def test_an_inspector_who_clicks_twice_opens_one_new_assignment(submitted, rita):
    def click(_):
        try:
            return send_back(assignment=submitted, inspector=rita, reason="no", now=LATER)
        except NotUnderReview:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        opened = [assignment for assignment in threads.map(click, range(6)) if assignment]
    assert len(opened) == 1
    assert Assignment.objects.filter(state="open").count() == 1
