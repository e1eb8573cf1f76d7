"""Reading: finished rankings, and how far a project is."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.selectors.preferences import count_finished, finished_rankings
from annotation.selectors.results.progress import annotator_progress, project_progress
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept, send_back
from tests.cast import NOW, answer_for, luck

DAY = timedelta(days=1)


def answer(annotator, project, slots, now=NOW):
    held = claim_next(annotator=annotator, project=project, now=now, generator=luck())
    judgement = answer_for(held, slots=slots)
    submit_judgement(assignment=held, annotator=annotator, judgement=judgement, now=now, generator=luck())
    return held


def test_a_finished_ranking_has_its_images_with_their_slots(alice, rita, project, a_prompt):
    prompt = a_prompt()
    accept(assignment=answer(alice, project, [1, 4, 4]), inspector=rita, now=NOW)
    (finished,) = finished_rankings(project)
    assert (finished.prompt_id, finished.prompt_key, finished.prompt_text) == (
        prompt.pk,
        prompt.key,
        prompt.text,
    )
    made = list(prompt.generations.select_related("image"))
    slots = {image.generation_id: slot for image, slot in zip(finished.images, finished.slots, strict=True)}
    assert [slots[generation.pk] for generation in made] == [1, 4, 4]
    hashes = {image.generation_id: (image.sha256, image.file, image.source) for image in finished.images}
    assert hashes == {g.pk: (g.image_id, g.image.file.name, g.source) for g in made}


def test_answers_that_wait_or_were_sent_back_are_not_finished(alice, rita, project, a_prompt, a_project):
    for _ in range(3):
        a_prompt()
    waiting, accepted, rejected = (answer(alice, project, [1, 2, 3]) for _ in range(3))
    accept(assignment=accepted, inspector=rita, now=NOW)
    send_back(assignment=rejected, inspector=rita, reason="no", now=NOW)
    assert [finished.assignment_id for finished in finished_rankings(project)] == [accepted.pk]
    assert count_finished(project) == 1
    assert count_finished(a_project()) == 0
    assert waiting.pk


def test_rankings_are_streamed_in_one_statement(alice, rita, project, a_prompt):
    for _ in range(3):
        a_prompt()
        accept(assignment=answer(alice, project, [1, 2, 3]), inspector=rita, now=NOW)
    with CaptureQueriesContext(connection) as queries:
        assert len(list(finished_rankings(project))) == 3
    assert len(queries) == 1


def test_progress_counts_prompts_answers_pairs_people_and_days(alice, bob, rita, project, a_prompt):
    for _ in range(5):
        a_prompt()
    accept(assignment=answer(alice, project, [1, 2, 2]), inspector=rita, now=NOW)
    accept(assignment=answer(bob, project, [3, 3, 1], now=NOW + DAY), inspector=rita, now=NOW + DAY)
    send_back(assignment=answer(alice, project, [1, 2, 3]), inspector=rita, reason="no", now=NOW)
    answer(alice, project, [1, 2, 3], now=NOW + DAY)
    claim_next(annotator=bob, project=project, now=NOW + DAY, generator=luck())
    with CaptureQueriesContext(connection) as queries:
        progress = project_progress(project, now=NOW + 4 * DAY)
    assert len(queries) <= 7
    assert (progress.prompts, progress.images, progress.finished) == (5, 15, 2)
    states = {"open": 1, "leased": 1, "submitted": 1, "accepted": 2, "skipped": 0, "rejected": 1}
    assert progress.assignments == states
    assert progress.wanted == 5
    assert (progress.pairs, progress.ties) == (4, 2)
    assert [
        (p.username, p.done, p.submitted, p.accepted, p.rejected, p.leased) for p in progress.annotators
    ] == [
        ("alice", 3, 1, 1, 1, 0),
        ("bob", 1, 0, 1, 0, 1),
    ]
    assert progress.days == [(NOW.date(), 2), ((NOW + DAY).date(), 2)]
    assert annotator_progress(bob, project) == progress.annotators[1]
    assert progress.pace == 4 / 4  # answers by days since the first one
    assert progress.days_left == 2


def test_how_long_it_takes_is_said_by_the_last_week(alice, project, a_prompt):
    for _ in range(4):
        a_prompt()
    first = project_progress(project, now=NOW)
    assert (first.pace, first.days_left) == (0, None)
    for day in (0, 9):
        answer(alice, project, [1, 2, 3], now=NOW + day * DAY)
    assert project_progress(project, now=NOW).pace == 2
    assert project_progress(project, now=NOW + 10 * DAY).pace == pytest.approx(1 / 7)
    assert project_progress(project, now=NOW + 10 * DAY).days_left == pytest.approx(14)
    assert project_progress(project, now=NOW + 17 * DAY).days_left is None


def test_somebody_who_has_done_nothing_has_counts_of_nought(project, alice):
    assert annotator_progress(alice, project).done == 0
