"""The chain from rankings to scores where images are kept far away, as in S3, and never lie in MEDIA_ROOT."""

from pathlib import Path

import pytest

from annotation.models import Generation
from rewardmodel.models import EvaluationRun, TrainingRun
from rewardmodel.runs.supervision import supervise
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.evaluations import queue_evaluation, unreadable_images
from rewardmodel.services.scores import score_generations
from rewardmodel.services.training import queue_training
from tests.rewardmodel.conftest import QUICK

pytestmark = pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own
State = TrainingRun.State


def done(run):
    """Done as a worker does it: in a process of its own."""
    supervise(run, should_stop=lambda: False)
    run.refresh_from_db()
    return run


def test_images_kept_elsewhere_are_frozen_trained_on_evaluated_and_scored(
    processes, remote, project, encoder, rank, settings
):
    rank(16)
    dataset = freeze_dataset(project=project)
    assert dataset.left_out == 0

    run = done(queue_training(project=project, dataset=dataset, config=QUICK))
    assert (run.state, run.error) == (State.FINISHED, "")
    assert run.report["images"] == 48
    assert run.checkpoint.metrics["pairs"] == 3

    baseline = done(queue_evaluation(project=project, datasets=[dataset], checkpoints=[encoder]))
    assert (baseline.state, baseline.error) == (EvaluationRun.State.FINISHED, "")
    figures = baseline.evaluations.get().figures
    assert figures["accuracy"]["value"] == run.checkpoint.metrics["beside"][0]["accuracy"]

    Generation.objects.update(scored_by="", score=None)
    assert score_generations(checkpoint=run.checkpoint).images == 48
    assert len([file for file in remote.rglob("*") if file.is_file()]) == 48
    assert not settings.MEDIA_ROOT.exists()


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
    assert f"{changed}: the storage has 14 bytes that are not this image" in run.log.read_text()
    Generation.objects.update(scored_by="", score=None)
    assert score_generations(checkpoint=run.checkpoint, left_out=unreadable_images(run)).images == 46
