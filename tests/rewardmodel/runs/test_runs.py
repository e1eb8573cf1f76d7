"""How runs move: who may claim one, what its worker may write, and what happens when that falls silent."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from annotation.models import Event, Kind
from annotation.services.webhooks.webhooks import create_webhook
from rewardmodel.models import DatasetVersion, TrainingRun
from rewardmodel.runs import states as runs
from rewardmodel.runs.states import RunLost
from tests.cast import NOW

State = TrainingRun.State
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def run(project, encoder) -> TrainingRun:
    dataset = DatasetVersion.objects.create(
        project=project, hash="0" * 64, folder="frozen", counts={}, shares={}, answers=0, left_out=0
    )
    return TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder)


def again(run):
    """The row as another process sees it."""
    return TrainingRun.objects.get(pk=run.pk)


def test_a_claimed_run_is_at_work_and_counts_its_attempt(run):
    runs.claim(run, now=NOW)
    row = again(run)
    assert (row.state, row.attempt, row.heartbeat, row.started_at) == (State.RUNNING, 1, NOW, NOW)


def test_a_run_is_claimed_once(run):
    second = again(run)
    runs.claim(run, now=NOW)
    with pytest.raises(RunLost):
        runs.claim(second, now=NOW)
    assert again(run).attempt == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_that_claim_at_once_one_wins(run):
    def claim(row):
        try:
            runs.claim(row, now=NOW)
        except RunLost:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as workers:
        assert sorted(workers.map(claim, [again(run) for _ in range(4)])) == [False, False, False, True]


@pytest.mark.parametrize(
    ("state", "to"),
    [
        (before, after)
        for before in State
        for after in State
        if after not in runs.MOVES.get(before, ()) and before != after
    ],
)
def test_no_run_makes_a_move_that_is_not_in_the_table(run, state, to):
    over = state in (State.FINISHED, State.FAILED, State.CANCELLED)
    TrainingRun.objects.filter(pk=run.pk).update(
        state=state, heartbeat=NOW, started_at=NOW, finished_at=NOW if over else None
    )
    with pytest.raises(RunLost):
        runs.move(run, to)
    assert again(run).state == state


def test_progress_moves_the_heart_and_keeps_what_was_measured(run):
    runs.claim(run, now=NOW)
    now = NOW + timedelta(seconds=2)
    runs.record_progress(run, now=now, step=2, steps=9, points={1: {"loss": 0.7}, 2: {"loss": 0.6}})
    row = again(run)
    assert (row.heartbeat, row.step, row.steps, row.seconds) == (now, 2, 9, 2.0)
    assert list(row.points.values_list("step", "values")) == [(1, {"loss": 0.7}), (2, {"loss": 0.6})]


def test_a_resumed_run_rewrites_the_steps_it_makes_again(run):
    runs.claim(run, now=NOW)
    runs.record_progress(run, now=NOW, step=1, steps=9, points={1: {"loss": 0.7}})
    runs.record_progress(run, now=NOW, step=1, steps=9, points={1: {"loss": 0.5}})
    assert list(run.points.values_list("values", flat=True)) == [{"loss": 0.5}]


def test_a_worker_given_up_for_dead_writes_nothing_any_more(run):
    runs.claim(run, now=NOW)
    assert runs.requeue_silent(TrainingRun, now=LATER) == 1
    new = again(run)
    runs.claim(new, now=LATER)

    with pytest.raises(RunLost):
        runs.record_progress(run, now=LATER, step=3, steps=9, points={3: {"loss": 0.1}})
    with pytest.raises(RunLost):
        runs.finish(run, now=LATER)
    with pytest.raises(RunLost):
        runs.release(run, now=LATER)
    with pytest.raises(RunLost):
        runs.record_crash(run, error="died", now=LATER)
    row = again(run)
    assert (row.state, row.attempt, row.step) == (State.RUNNING, 2, 0)
    assert not row.points.exists()


def test_a_run_whose_heart_beats_is_not_taken_away(run, settings):
    runs.claim(run, now=NOW)
    still = NOW + timedelta(seconds=settings.RUN_SILENCE_SECONDS)
    assert runs.requeue_silent(TrainingRun, now=still) == 0
    assert runs.requeue_silent(TrainingRun, now=still + timedelta(seconds=1)) == 1


def test_an_interrupted_run_waits_again_and_has_not_crashed(run):
    runs.claim(run, now=NOW)
    runs.release(run, now=LATER)
    row = again(run)
    assert (row.state, row.crashes, row.finished_at) == (State.QUEUED, 0, None)
    assert TrainingRun.objects.startable(now=LATER).get() == run


def test_after_each_crash_a_run_waits_longer_and_at_last_it_has_failed(run):
    waits = []
    for _ in range(2):
        runs.claim(run, now=NOW)
        runs.record_crash(run, error="killed", now=NOW)
        assert run.state == State.QUEUED
        assert not TrainingRun.objects.startable(now=NOW).exists()
        waits.append(run.not_before - NOW)
        assert TrainingRun.objects.startable(now=run.not_before).get() == run
    assert waits == sorted(waits)
    runs.claim(run, now=NOW)
    runs.record_crash(run, error="killed again", now=NOW)
    row = again(run)
    assert (row.state, row.error, row.finished_at) == (State.FAILED, "killed again", NOW)


def test_a_failed_run_is_queued_again_by_hand_and_may_crash_anew(run):
    runs.claim(run, now=NOW)
    runs.fail(run, error="no space left", now=NOW)
    runs.retry(run)
    row = again(run)
    assert (row.state, row.error, row.crashes, row.finished_at) == (State.QUEUED, "", 0, None)


def test_that_a_run_finished_or_failed_is_told_to_who_asked(run, ada):
    kinds = [Kind.RUN_FINISHED, Kind.RUN_FAILED]
    create_webhook(project=run.project, url="https://hooks.example.org/", kinds=kinds, by=ada)
    runs.claim(run, now=NOW)
    runs.fail(run, error="no disk", now=NOW)
    runs.retry(run)
    runs.claim(run, now=NOW)
    runs.finish(run, now=NOW)
    failed, finished = Event.objects.order_by("created_at")
    assert (failed.kind, failed.data) == ("run.failed", {"run": run.pk, "kind": "reward", "error": "no disk"})
    assert (finished.kind, finished.data) == ("run.finished", {"run": run.pk, "kind": "reward"})


def test_cancelling_a_queued_run_ends_it(run):
    runs.cancel(run, now=NOW)
    assert (again(run).state, again(run).finished_at) == (State.CANCELLED, NOW)


@pytest.mark.parametrize("give_up", ["released", "silent", "crashed"])
def test_a_running_run_that_is_to_be_cancelled_does_not_come_back(run, give_up):
    runs.claim(run, now=NOW)
    runs.cancel(again(run), now=NOW)
    assert again(run).state == State.RUNNING
    runs.beat(run, now=NOW)
    assert run.cancel_requested
    if give_up == "released":
        runs.release(run, now=LATER)
    elif give_up == "silent":
        runs.requeue_silent(TrainingRun, now=LATER)
    else:
        runs.record_crash(run, error="killed", now=LATER)
    assert (again(run).state, again(run).finished_at) == (State.CANCELLED, LATER)


def test_a_run_that_is_over_cannot_be_cancelled(run):
    runs.claim(run, now=NOW)
    runs.finish(run, now=NOW)
    with pytest.raises(RunLost):
        runs.cancel(run, now=NOW)
    assert again(run).state == State.FINISHED


def test_the_schema_knows_no_run_at_work_without_a_heart(run):
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=State.RUNNING)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=State.FAILED)
