"""The process that does a run's work: when it stops, and how the run ends."""

import os
import signal
import socket
import time

import pytest

from annotation.jobs import JobLost
from rewardmodel.learning import checkpoints
from rewardmodel.learning.errors import CheckpointError, Interrupted, PermanentError
from rewardmodel.models import DatasetVersion, TrainingPoint, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.execution import PermanentFailure, execute
from tests.cast import NOW

pytestmark = pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own
State = TrainingRun.State


@pytest.fixture
def run(project, encoder) -> TrainingRun:
    dataset = DatasetVersion.objects.create(
        project=project, hash="0" * 64, folder="frozen", counts={}, shares={}, answers=0, left_out=0
    )
    return TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder)


def until_told_to_stop(heartbeat):
    deadline = time.monotonic() + 30
    while not heartbeat.should_stop():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    raise Interrupted


def test_work_that_is_done_finishes_the_run_with_all_it_measured(run):
    def work(heartbeat):
        for step in (1, 2):
            heartbeat.report(
                step=step, steps=2, values={"loss": 1 / step, "accuracy": None, "norm": float("inf")}
            )

    execute(run, work)
    assert (run.state, run.step, run.steps) == (State.FINISHED, 2, 2)
    assert [point.values for point in TrainingPoint.objects.all()] == [{"loss": 1.0}, {"loss": 0.5}]


def test_a_step_that_measured_nothing_leaves_no_point_however_often_it_is_resumed(run):
    def work(heartbeat):
        heartbeat.report(step=run.attempt, steps=2, values={})
        if run.attempt == 1:
            raise Interrupted

    execute(run, work)
    execute(run, work)
    assert (run.state, run.attempt, run.step) == (State.FINISHED, 2, 2)
    assert not TrainingPoint.objects.exists()


def test_a_signal_stops_the_work_and_gives_the_run_back(run):
    def work(heartbeat):
        os.kill(os.getpid(), signal.SIGTERM)
        until_told_to_stop(heartbeat)

    execute(run, work)
    assert (run.state, run.crashes) == (State.QUEUED, 0)


def test_a_cancel_stops_the_work(run):
    def work(heartbeat):
        states.cancel(TrainingRun.objects.get(), now=NOW)
        until_told_to_stop(heartbeat)

    execute(run, work)
    assert run.state == State.CANCELLED


def test_work_whose_run_was_given_to_another_is_not_asked_to_save(run):
    """Its checkpoint would lie where the other writes one."""

    def work(heartbeat):
        TrainingRun.objects.update(attempt=2)
        until_told_to_stop(heartbeat)

    with pytest.raises(JobLost):
        execute(run, work)
    row = TrainingRun.objects.get()
    assert (row.state, row.attempt) == (State.RUNNING, 2)


@pytest.mark.parametrize(("supervisor", "state"), [(None, State.FAILED), (os.getppid(), State.RUNNING)])
def test_an_error_fails_the_run_unless_a_supervisor_will_note_it(run, supervisor, state):
    def work(heartbeat):
        raise MemoryError("too small")

    with pytest.raises(MemoryError):
        execute(run, work, supervisor=supervisor)
    row = TrainingRun.objects.get()
    assert (row.state, row.error) == (state, "" if supervisor else "MemoryError: too small")


@pytest.mark.parametrize("supervisor", [None, os.getppid()])
@pytest.mark.parametrize("error", [PermanentFailure, CheckpointError])
def test_work_that_cannot_be_done_fails_the_run_at_once(run, supervisor, error):
    def work(heartbeat):
        raise error("no encoder here")

    with pytest.raises(error):
        execute(run, work, supervisor=supervisor)
    row = TrainingRun.objects.get()
    assert (row.state, row.error, row.crashes) == (State.FAILED, f"{error.__name__}: no encoder here", 0)


def read_from_a_broken_disk(tmp_path):
    (tmp_path / "config.json").symlink_to("/proc/self/mem")  # whose first bytes nobody can read: EIO
    checkpoints.load(tmp_path)


def ask_a_server_that_is_away(tmp_path):
    try:
        socket.create_connection(("127.0.0.1", 1))
    except OSError as error:
        raise PermanentFailure(f"its reward raised {error}") from error


def load_what_nobody_put_there(tmp_path):
    checkpoints.load(tmp_path)


@pytest.mark.parametrize(
    ("work", "error", "state"),
    [
        (read_from_a_broken_disk, "Input/output error", State.RUNNING),
        (ask_a_server_that_is_away, "Connection refused", State.RUNNING),
        (load_what_nobody_put_there, "no such file", State.FAILED),
    ],
)
def test_work_that_a_disk_or_the_network_failed_is_left_to_the_supervisor_to_try_again(
    run, tmp_path, work, error, state
):
    with pytest.raises((PermanentError, PermanentFailure), match=error):
        execute(run, lambda heartbeat: work(tmp_path), supervisor=os.getppid())
    assert TrainingRun.objects.get().state == state


def test_work_stops_when_its_supervisor_died(run):
    execute(run, until_told_to_stop, supervisor=os.getpid())  # which is not this process's parent
    assert run.state == State.QUEUED


def test_a_process_started_for_an_earlier_attempt_does_nothing(run):
    states.claim(run, now=NOW)
    with pytest.raises(JobLost):
        execute(run, until_told_to_stop, attempt=2)
    assert not run.folder.exists()
