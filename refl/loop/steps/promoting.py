"""The newest reward model is measured beside the promoted one, and promoted if it is better."""

from __future__ import annotations

from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, StepRefused, failed_status, run_status
from rewardmodel.models import DatasetVersion, EvaluationRun, RewardCheckpoint, TrainingRun
from rewardmodel.services.evaluations import queue_evaluation
from rewardmodel.templatetags.figures import gain, gain_interval, percent


def read(facts: Facts) -> Status:
    run, training, trained = facts.newest(EvaluationRun), facts.newest(TrainingRun), facts.trained
    changed = _in_figures(trained) if trained else ""
    if run is not None and not run.is_over:
        return run_status(run, doing="measures models on test pairs", changed=changed)
    if training is not None and not training.is_over:
        return Status(State.WAITING, missing=("the training to end",), run=run, changed=changed)
    if run is not None and run.state == EvaluationRun.State.FAILED:
        return failed_status(run, changed=changed)
    if trained is None:
        return Status(State.WAITING, missing=("a trained reward model",), run=run)
    if trained.promoted:
        return Status(State.DONE, f"{trained} is promoted", run=run, changed=changed)
    note = (
        f"{trained} is not promoted; {facts.promoted} stays"
        if facts.promoted
        else f"{trained} is not promoted"
    )
    return Status(State.DONE, note, run=run, changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Measure the newest and the promoted model on the newest dataset's test pairs.

    Args: options: of `queue_evaluation`.
    Raises: StepRefused, CannotEvaluate.
    """
    dataset = DatasetVersion.objects.filter(project=project).order_by("-pk").first()
    if dataset is None:
        raise StepRefused("there is no dataset to measure on: freeze one first")
    models = RewardCheckpoint.objects.filter(project=project).order_by("-promoted", "-pk")[:2]
    defaults: dict[str, Any] = {"datasets": [dataset], "checkpoints": list(models)}
    run = queue_evaluation(project=project, by=by, because=because, **{**defaults, **options})
    return Started(f"{' and '.join(run.config['checkpoints'])} are measured on dataset {dataset}.", run=run)


def _in_figures(checkpoint: RewardCheckpoint) -> str:
    """Accuracy, and the lead over what it was compared with."""
    metrics = checkpoint.metrics
    if not metrics:
        return ""
    figures = f"{checkpoint}: {percent(metrics.get('accuracy'))} on {metrics.get('pairs', 0):,} pairs"
    rivals = [
        f"{gain(rival['difference'])} over {rival['name']} ({gain_interval(rival['difference_interval'])})"
        for rival in metrics.get("beside", [])
    ]
    return "; ".join([figures, *rivals])


STEP = Step(
    key="promote",
    title="Evaluate and promote",
    about="The new model takes the promoted one's place if it orders held-out pairs better.",
    read=read,
    start=start,
)
