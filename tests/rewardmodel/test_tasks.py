"""What is sent to workers: word of the runs that wait, and nothing that would start one twice."""

from datetime import timedelta

import pytest
from celery.signals import before_task_publish
from django.utils.timezone import now

from rewardmodel.models import DatasetVersion, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.waking import SUPERVISE_RUN, wake
from rewardmodel.tasks import supervise_run, tend_runs

State = TrainingRun.State


@pytest.fixture
def a_run(project, encoder):
    dataset = DatasetVersion.objects.create(
        project=project, hash="0" * 64, folder="frozen", counts={}, shares={}, answers=0, left_out=0
    )
    return lambda: TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder)


@pytest.fixture
def sent():
    """Messages as they leave: task, arguments, queue."""
    messages = []

    def note(sender, body, routing_key, **others):
        messages.append((sender, tuple(body[0]), routing_key))

    before_task_publish.connect(note)
    yield messages
    before_task_publish.disconnect(note)


def word_of(run):
    return ("rewardmodel.tasks.supervise_run", (run._meta.label, run.pk), "gpu")


def test_word_of_a_run_goes_to_the_workers_with_a_device(a_run, sent):
    run = a_run()
    wake(run)
    assert sent == [word_of(run)]


def test_the_task_that_a_run_is_sent_to_is_there():
    assert supervise_run.name == SUPERVISE_RUN


def test_tending_takes_a_run_from_a_silent_worker_and_wakes_another(a_run, sent, settings):
    run = a_run()
    states.claim(run, now=now() - timedelta(seconds=settings.RUN_SILENCE_SECONDS + 1))
    tend_runs()
    assert TrainingRun.objects.get().state == State.QUEUED
    assert sent == [word_of(run)]


def test_tending_leaves_a_run_alone_whose_heart_beats(a_run, sent):
    run = a_run()
    states.claim(run, now=now())
    tend_runs()
    assert TrainingRun.objects.get().state == State.RUNNING
    assert sent == []


def test_of_the_runs_that_wait_the_oldest_is_woken_and_one_held_back_is_not(a_run, sent):
    held_back, oldest, _ = a_run(), a_run(), a_run()
    states.claim(held_back, now=now())
    states.record_crash(held_back, error="killed", now=now())
    tend_runs()
    assert sent == [word_of(oldest)]


@pytest.mark.parametrize("state", [State.RUNNING, State.FINISHED, State.FAILED, State.CANCELLED])
def test_a_message_for_a_run_that_is_taken_or_over_ends_at_once(a_run, state):
    run = a_run()
    over = None if state == State.RUNNING else now()
    TrainingRun.objects.update(state=state, heartbeat=now(), started_at=now(), finished_at=over)
    supervise_run(run._meta.label, run.pk)
    row = TrainingRun.objects.get()
    assert (row.state, row.attempt, row.log.exists()) == (state, 0, False)
