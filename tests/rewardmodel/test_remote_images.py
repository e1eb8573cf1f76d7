"""The chain from rankings to scores where files are kept far away, as in S3, on hosts that share nothing."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic

import psutil
import pytest

from annotation import jobs
from annotation.models import Generation, StoredFile
from annotation.stored_files import held_beside, open_file, stored_digests
from rewardmodel.models import EvaluationRun, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.folders import RunFolder
from rewardmodel.runs.supervision import log_tail, supervise
from rewardmodel.selectors import curves
from rewardmodel.services.checkpoints import register_checkpoint
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.evaluations import queue_evaluation, unreadable_images
from rewardmodel.services.scores import score_generations
from rewardmodel.services.training import queue_training
from tests.cast import NOW
from tests.rewardmodel.conftest import QUICK

pytestmark = pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own
State = TrainingRun.State


def done(run):
    """Done as a worker does it: in a process of its own."""
    supervise(run, should_stop=lambda: False)
    run.refresh_from_db()
    return run


@pytest.fixture
def move_to(settings, monkeypatch, tmp_path):
    """`move_to("b")`: this process, and those that it starts, are on another host from now on."""

    def move(host):
        var = tmp_path / host
        settings.VAR, settings.IMAGE_CACHE_DIR = var, var / "image_cache"
        settings.DATASETS_DIR, settings.RUNS_DIR = var / "datasets", var / "runs"
        monkeypatch.setenv("LAUREL_VAR", str(var))

    return move


def test_one_host_freezes_another_trains_a_third_evaluates_and_the_first_scores(
    processes, remote, project, encoder, rank, settings, move_to
):
    rank(16)
    move_to("a")
    dataset = freeze_dataset(project=project)
    assert dataset.left_out == 0
    move_to("b")

    run = done(queue_training(project=project, dataset=dataset, config=QUICK))
    assert (run.state, run.error) == (State.FINISHED, "")
    assert run.report["images"] == 48
    assert run.checkpoint.metrics["pairs"] == 3
    assert not run.folder.exists()
    move_to("c")
    assert "attempt 1" in log_tail(run)

    baseline = done(queue_evaluation(project=project, datasets=[dataset], checkpoints=[encoder]))
    assert (baseline.state, baseline.error) == (EvaluationRun.State.FINISHED, "")
    figures = baseline.evaluations.get().figures
    assert figures["accuracy"]["value"] == run.checkpoint.metrics["beside"][0]["accuracy"]

    Generation.objects.update(scored_by="", score=None)
    move_to("a")
    assert score_generations(checkpoint=run.checkpoint).images == 48
    assert len(list(remote.glob("??/*.png"))) == 48
    assert not any(folder.exists() for folder in (settings.MEDIA_ROOT, dataset.path, run.folder))
    assert not StoredFile.objects.filter(name__endswith="state.pt").exists()  # it is of no use any more


def test_a_run_goes_on_from_what_was_stored_and_a_host_given_up_for_dead_changes_nothing(
    processes, remote, project, encoder, rank, move_to, monkeypatch
):
    from remote_storage import RemoteStorage

    open_file_there = RemoteStorage._open

    def open_slowly(storage, name, mode="rb"):
        """As slow as a large file: until the host that waits for it was heard of."""
        deadline = monotonic() + 60
        while TrainingRun.objects.get(pk=run.pk).heartbeat == NOW:
            assert monotonic() < deadline, "no heartbeat while a folder was fetched"
        return open_file_there(storage, name, mode)

    rank(16)
    move_to("a")
    run = queue_training(project=project, config=QUICK)
    states.claim(run, now=NOW)
    dead = RunFolder(run)
    dead.take_up()
    (dead.path / "state.pt").write_text("step 1")
    dead.store()
    (dead.path / "state.pt").write_text("step 2, which nobody else has")
    jobs.release(run, now=NOW)

    move_to("b")
    again = TrainingRun.objects.get(pk=run.pk)
    states.claim(again, now=NOW)
    folder = RunFolder(again)
    with monkeypatch.context() as patch:
        patch.setattr(RemoteStorage, "_open", open_slowly)
        folder.take_up()
    assert (folder.path / "state.pt").read_text() == "step 1"
    (folder.path / "state.pt").write_text("step 3")
    folder.hand_over()
    assert not folder.path.exists()

    move_to("a")
    with pytest.raises(jobs.JobLost):
        dead.store()
    held = held_beside(dead.path)
    held.mkdir()  # as where it was killed while it stored
    assert dead.path.exists()
    assert open_file(dead.path / "state.pt").read() == b"step 3"
    jobs.release(again, now=NOW)
    other = RunFolder(queue_training(project=project, config=QUICK))
    other.take_up()
    assert held.exists()
    assert dead.path.exists()  # it was heard of just now: a worker beside this one may still store its end
    TrainingRun.objects.filter(pk=again.pk).update(heartbeat=NOW)
    other.take_up()
    assert not dead.path.exists()  # of a run that is at work no more, or elsewhere
    assert not held.exists()


def test_a_run_leaves_out_images_that_the_storage_lacks_or_has_not_as_they_were(
    processes, remote, project, encoder, rank
):
    rank(16)
    gone, changed = (
        Generation.objects.get(source=source).image.file.name for source in ("r1-0.png", "r2-0.png")
    )
    (remote / gone).unlink()
    (remote / changed).write_bytes(b"something else")
    run = done(queue_training(project=project, config=QUICK))
    assert (run.state, run.error) == (State.FINISHED, "")
    assert (run.report["images"], run.report["unreadable"]) == (48, 2)
    assert {Path(file).name for file in run.report["unreadable_files"]} == {
        Path(gone).name,
        Path(changed).name,
    }
    assert f"{changed}: the storage has 14 bytes that are not what was stored" in log_tail(run)
    Generation.objects.update(scored_by="", score=None)
    assert score_generations(checkpoint=run.checkpoint, left_out=unreadable_images(run)).images == 46


def test_two_hosts_share_a_training_stop_together_and_finish_what_they_began(
    processes, remote, project, encoder_folder, rank, settings, move_to, tmp_path
):
    """The second has the files from the storage alone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = f"--nnodes 2 --master-addr 127.0.0.1 --master-port {port}"
    settings.TRAINING_PROCESSES, settings.TRAINING_TORCHRUN = 1, f"{meeting} --node-rank 0"
    rank(16)
    lacking = Generation.objects.get(source="r1-0.png").image.file.name
    (remote / lacking).unlink()
    move_to("a")
    models = Path(shutil.copytree(encoder_folder, settings.VAR / "models"))
    register_checkpoint(project=project, name="encoder", folder=str(models))
    run = queue_training(project=project, config={**QUICK, "epochs": 36, "learning_rate": 1e-4})

    def share(*, until_step):
        torchrun = [sys.executable, "-m", "torch.distributed.run", *meeting.split(), "--node-rank=1"]
        other = subprocess.Popen(
            [*torchrun, "--", settings.ROOT / "manage.py", "train_reward_model", "--follow"],
            env=os.environ | {"LAUREL_VAR": str(tmp_path / "b")},
        )
        try:
            again = TrainingRun.objects.get(pk=run.pk)
            supervise(again, should_stop=lambda: TrainingRun.objects.get(pk=run.pk).step >= until_step)
            run.refresh_from_db()
            assert run.crashes == 0, run.error
            assert other.wait(60) == 0
        finally:
            if other.poll() is None:
                for one in [*psutil.Process(other.pid).children(recursive=True), other]:
                    one.kill()

    share(until_step=5)
    assert run.state == State.QUEUED, log_tail(run)
    stopped_at, [state] = run.step, stored_digests(run.folder / "state.pt").values()
    share(until_step=float("inf"))
    assert (run.state, run.attempt, run.error) == (State.FINISHED, 2, ""), log_tail(run)
    assert 5 <= stopped_at < run.step == run.steps
    assert [step for step, _ in curves(run)["loss"]] == list(range(1, run.steps + 1))
    assert (run.report["unreadable"], run.checkpoint.metrics["pairs"] > 0) == (1, True)
    there = tmp_path / "b" / "image_cache" / "images"
    assert len(list(there.glob("??/*.png"))) == 47
    fetched = {file.name for file in there.glob("??/*")}
    assert {state, *stored_digests(models).values(), *stored_digests(run.dataset.path).values()} <= fetched
