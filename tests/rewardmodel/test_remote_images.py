"""The chain from rankings to scores where files are kept far away, as in S3, on hosts that share nothing."""

from pathlib import Path
from time import monotonic

import pytest

from annotation import jobs
from annotation.models import Generation, StoredFile
from annotation.stored_files import open_file
from rewardmodel.models import EvaluationRun, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.folders import RunFolder
from rewardmodel.runs.supervision import log_tail, supervise
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
    assert dead.path.exists()
    assert open_file(dead.path / "state.pt").read() == b"step 3"
    jobs.release(again, now=NOW)
    other = RunFolder(queue_training(project=project, config=QUICK))
    other.take_up()
    assert dead.path.exists()  # it was heard of just now: a worker beside this one may still store its end
    TrainingRun.objects.filter(pk=again.pk).update(heartbeat=NOW)
    other.take_up()
    assert not dead.path.exists()  # of a run that is at work no more, or elsewhere


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
