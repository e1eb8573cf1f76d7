"""The life of durable work, whatever the work is: who has it, what its worker may write, and how it ends."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from annotation import jobs
from annotation.jobs import JobLost
from annotation.models import Export
from tests.cast import NOW

State = Export.State
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def job(a_project, ada) -> Export:
    return Export.objects.create(
        project=a_project(), requested_by=ada, format="csv", accepted_until=NOW, created_at=NOW
    )


def again(job):
    """The row as another process sees it."""
    return Export.objects.get(pk=job.pk)


def test_a_claimed_job_is_at_work_and_counts_its_attempt(job):
    jobs.claim(job, now=NOW)
    row = again(job)
    assert (row.state, row.attempt, row.heartbeat) == (State.RUNNING, 1, NOW)


def test_a_job_is_claimed_once(job):
    second = again(job)
    jobs.claim(job, now=NOW)
    with pytest.raises(JobLost):
        jobs.claim(second, now=NOW)
    assert again(job).attempt == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_claim_at_once_one_wins(job):
    def claim(row):
        try:
            jobs.claim(row, now=NOW)
        except JobLost:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as workers:
        assert sorted(workers.map(claim, [again(job) for _ in range(4)])) == [False, False, False, True]


@pytest.mark.parametrize(
    ("state", "to"),
    [
        (before, after)
        for before in State
        for after in State
        if after not in jobs.MOVES.get(before, ()) and before != after
    ],
)
def test_no_job_makes_a_move_that_is_not_in_the_table(job, state, to):
    over = state in (State.FINISHED, State.FAILED, State.CANCELLED)
    file = {"bytes": 1, "sha256": "0"} if state == State.FINISHED else {}
    Export.objects.update(state=state, heartbeat=NOW, finished_at=NOW if over else None, **file)
    with pytest.raises(JobLost):
        jobs.move(job, to)
    assert again(job).state == state


def test_a_heartbeat_sets_what_the_kind_records_and_reads_whether_to_stop(job):
    jobs.claim(job, now=NOW)
    jobs.cancel(again(job), now=NOW)
    assert not job.cancel_requested
    jobs.heartbeat(job, now=LATER, rankings=3)
    row = again(job)
    assert (row.state, row.heartbeat, row.rankings) == (State.RUNNING, LATER, 3)
    assert job.cancel_requested


def test_a_finished_job_has_no_error_left_and_its_fields_are_set_with_the_move(job):
    jobs.claim(job, now=NOW)
    jobs.fail(job, error="disk full", now=NOW)
    jobs.requeue(job)
    jobs.claim(job, now=NOW)
    jobs.finish(job, now=LATER, bytes=7, sha256="0")
    row = again(job)
    assert (row.state, row.error, row.finished_at, row.bytes) == (State.FINISHED, "", LATER, 7)
    assert row.is_over


def test_a_worker_given_up_for_dead_writes_nothing_any_more(job):
    jobs.claim(job, now=NOW)
    assert jobs.requeue_silent(Export, now=LATER) == 1
    jobs.claim(again(job), now=LATER)
    for write in (
        lambda: jobs.heartbeat(job, now=LATER, rankings=9),
        lambda: jobs.finish(job, now=LATER, bytes=1, sha256="0"),
        lambda: jobs.fail(job, error="died", now=LATER),
        lambda: jobs.release(job, now=LATER),
    ):
        with pytest.raises(JobLost):
            write()
    row = again(job)
    assert (row.state, row.attempt, row.rankings) == (State.RUNNING, 2, 0)


def test_a_job_whose_heart_beats_is_not_taken_away(job, settings):
    jobs.claim(job, now=NOW)
    still = NOW + timedelta(seconds=settings.RUN_SILENCE_SECONDS)
    assert jobs.requeue_silent(Export, now=still) == 0
    assert jobs.requeue_silent(Export, now=still + timedelta(seconds=1)) == 1
    assert again(job).state == State.QUEUED


def test_a_job_that_falls_silent_in_its_last_attempt_has_failed(job, monkeypatch):
    monkeypatch.setattr(Export, "most_attempts", 2)
    for state in (State.QUEUED, State.FAILED):
        jobs.claim(again(job), now=NOW)
        assert jobs.requeue_silent(Export, now=LATER) == 1
        assert again(job).state == state
    assert again(job).error == "its worker fell silent"


def test_a_job_of_a_kind_without_a_last_attempt_is_always_queued_again(job, monkeypatch):
    monkeypatch.setattr(Export, "most_attempts", None)
    Export.objects.update(attempt=1000)
    jobs.claim(again(job), now=NOW)
    jobs.requeue_silent(Export, now=LATER)
    assert again(job).state == State.QUEUED


def test_an_interrupted_job_waits_again(job):
    jobs.claim(job, now=NOW)
    jobs.release(job, now=LATER)
    assert (again(job).state, again(job).finished_at) == (State.QUEUED, None)
    assert Export.objects.queued().get() == job


def test_a_failed_job_is_queued_again_by_hand_only(job):
    with pytest.raises(JobLost):
        jobs.fail(job, error="never begun", now=NOW)
    jobs.claim(job, now=NOW)
    jobs.fail(job, error="no space left", now=NOW)
    assert (again(job).state, again(job).error, again(job).finished_at) == (
        State.FAILED,
        "no space left",
        NOW,
    )
    assert jobs.requeue_silent(Export, now=LATER) == 0
    jobs.requeue(job)
    assert (again(job).state, again(job).error, again(job).finished_at) == (State.QUEUED, "", None)


def test_a_job_that_failed_before_it_was_cancelled_begins_anew_without_that(job):
    jobs.claim(job, now=NOW)
    jobs.cancel(again(job), now=NOW)
    jobs.fail(job, error="no space left", now=NOW)
    jobs.requeue(job)
    assert not again(job).cancel_requested


def test_cancelling_a_queued_job_ends_it(job):
    jobs.cancel(job, now=NOW)
    assert (again(job).state, again(job).finished_at) == (State.CANCELLED, NOW)
    with pytest.raises(JobLost):
        jobs.cancel(job, now=NOW)


@pytest.mark.parametrize("give_back", ["released", "silent"])
def test_a_job_at_work_that_is_to_be_cancelled_does_not_come_back(job, give_back):
    jobs.claim(job, now=NOW)
    jobs.cancel(again(job), now=NOW)
    assert again(job).state == State.RUNNING
    if give_back == "released":
        jobs.release(job, now=LATER)
    else:
        jobs.requeue_silent(Export, now=LATER)
    row = again(job)
    assert (row.state, row.finished_at, row.cancel_requested) == (State.CANCELLED, LATER, False)


def test_jobs_are_claimed_oldest_first_and_those_that_are_over_wait_no_more(job):
    second, third = (Export.objects.create(**fields_of(job)) for _ in range(2))
    assert list(Export.objects.queued()) == [job, second, third]
    jobs.cancel(job, now=NOW)
    jobs.claim(second, now=NOW)
    assert list(Export.objects.queued()) == [third]
    assert set(Export.objects.active()) == {second, third}
    assert list(Export.objects.over()) == [job]


def fields_of(job):
    names = ("project", "requested_by", "format", "accepted_until", "created_at")
    return {name: getattr(job, name) for name in names}


@pytest.mark.parametrize(
    "fields", [{"state": State.RUNNING}, {"state": State.FAILED}, {"finished_at": NOW}, {"state": "asleep"}]
)
def test_the_schema_knows_what_a_job_in_each_state_has(job, fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        Export.objects.update(**fields)
