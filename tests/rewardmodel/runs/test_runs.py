"""What a run records with its moves: progress, crashes, who asked, who is told. The moves are every job's."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from annotation import jobs
from annotation.jobs import JobLost
from annotation.management.commands.doctor import check_broker
from annotation.models import Event
from annotation.services.webhooks.webhooks import create_webhook
from rewardmodel.models import DatasetVersion, TrainingRun
from rewardmodel.runs import states
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
    states.claim(run, now=NOW)
    row = again(run)
    assert (row.state, row.attempt, row.heartbeat, row.started_at) == (State.RUNNING, 1, NOW, NOW)


def test_progress_moves_the_heart_and_keeps_what_was_measured(run):
    states.claim(run, now=NOW)
    now = NOW + timedelta(seconds=2)
    states.record_progress(run, now=now, step=2, steps=9, points={1: {"loss": 0.7}, 2: {"loss": 0.6}})
    row = again(run)
    assert (row.heartbeat, row.step, row.steps, row.seconds) == (now, 2, 9, 2.0)
    assert list(row.points.values_list("step", "values")) == [(1, {"loss": 0.7}), (2, {"loss": 0.6})]


def test_a_resumed_run_rewrites_the_steps_it_makes_again(run):
    states.claim(run, now=NOW)
    states.record_progress(run, now=NOW, step=1, steps=9, points={1: {"loss": 0.7}})
    states.record_progress(run, now=NOW, step=1, steps=9, points={1: {"loss": 0.5}})
    assert list(run.points.values_list("values", flat=True)) == [{"loss": 0.5}]


def test_a_worker_given_up_for_dead_writes_nothing_any_more(run):
    states.claim(run, now=NOW)
    assert jobs.requeue_silent(TrainingRun, now=LATER) == 1
    new = again(run)
    states.claim(new, now=LATER)

    with pytest.raises(JobLost):
        states.record_progress(run, now=LATER, step=3, steps=9, points={3: {"loss": 0.1}})
    with pytest.raises(JobLost):
        states.finish(run, now=LATER)
    with pytest.raises(JobLost):
        jobs.release(run, now=LATER)
    with pytest.raises(JobLost):
        states.record_crash(run, error="died", now=LATER)
    row = again(run)
    assert (row.state, row.attempt, row.step) == (State.RUNNING, 2, 0)
    assert not row.points.exists()


def test_an_interrupted_run_waits_again_and_has_not_crashed(run):
    states.claim(run, now=NOW)
    jobs.release(run, now=LATER)
    row = again(run)
    assert (row.state, row.crashes, row.finished_at) == (State.QUEUED, 0, None)
    assert TrainingRun.objects.startable(now=LATER).get() == run


def test_after_each_crash_a_run_waits_longer_and_at_last_it_has_failed(run):
    waits = []
    for _ in range(2):
        states.claim(run, now=NOW)
        states.record_crash(run, error="killed", now=NOW)
        assert run.state == State.QUEUED
        assert not TrainingRun.objects.startable(now=NOW).exists()
        waits.append(run.not_before - NOW)
        assert TrainingRun.objects.startable(now=run.not_before).get() == run
    assert waits == sorted(waits)
    states.claim(run, now=NOW)
    states.record_crash(run, error="killed again", now=NOW)
    row = again(run)
    assert (row.state, row.error, row.finished_at) == (State.FAILED, "killed again", NOW)


def test_a_failed_run_is_queued_again_by_hand_and_may_crash_anew(run):
    states.claim(run, now=NOW)
    states.fail(run, error="no space left", now=NOW)
    states.retry(run)
    row = again(run)
    assert (row.state, row.error, row.crashes, row.finished_at) == (State.QUEUED, "", 0, None)


def test_that_a_run_finished_or_failed_is_told_to_who_asked(run, ada):
    kinds = [states.RUN_FINISHED, states.RUN_FAILED]
    create_webhook(project=run.project, url="https://hooks.example.org/", kinds=kinds, by=ada)
    states.claim(run, now=NOW)
    states.fail(run, error="no disk", now=NOW)
    states.retry(run)
    states.claim(run, now=NOW)
    states.finish(run, now=NOW)
    failed, finished = Event.objects.order_by("created_at")
    assert (failed.kind, failed.data) == ("run.failed", {"run": run.pk, "kind": "reward", "error": "no disk"})
    assert (finished.kind, finished.data) == ("run.finished", {"run": run.pk, "kind": "reward"})


def test_cancelling_a_queued_run_ends_it(run):
    states.cancel(run, now=NOW)
    assert (again(run).state, again(run).finished_at) == (State.CANCELLED, NOW)


@pytest.mark.parametrize("give_up", ["released", "silent", "crashed"])
def test_a_running_run_that_is_to_be_cancelled_does_not_come_back(run, give_up):
    states.claim(run, now=NOW)
    states.cancel(again(run), now=NOW)
    assert again(run).state == State.RUNNING
    jobs.heartbeat(run, now=NOW)
    assert run.cancel_requested
    if give_up == "released":
        jobs.release(run, now=LATER)
    elif give_up == "silent":
        jobs.requeue_silent(TrainingRun, now=LATER)
    else:
        states.record_crash(run, error="killed", now=LATER)
    assert (again(run).state, again(run).finished_at) == (State.CANCELLED, LATER)


def test_a_run_that_is_over_cannot_be_cancelled(run):
    states.claim(run, now=NOW)
    states.finish(run, now=NOW)
    with pytest.raises(JobLost):
        states.cancel(run, now=NOW)
    assert again(run).state == State.FINISHED


def test_the_schema_knows_no_run_at_work_without_a_heart_or_a_start(run):
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=State.RUNNING, started_at=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=State.RUNNING, heartbeat=NOW)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk).update(state=State.FAILED)


def test_the_doctor_names_the_run_that_keeps_a_worker_from_answering(run, no_worker):
    def of_the_worker():
        return next(finding for finding in check_broker(["gpu"]) if finding.what == "worker")

    assert "Start one" in of_the_worker().advice
    states.claim(run, now=now())
    assert (of_the_worker().result, of_the_worker().advice) == (f"busy with {run} on the queue gpu", "")
    TrainingRun.objects.update(heartbeat=now() - timedelta(hours=1))
    assert "Start one" in of_the_worker().advice
