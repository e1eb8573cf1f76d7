"""The newest reward model is measured beside the promoted one, and promoted if it is surely better."""

from __future__ import annotations

from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import (
    Started,
    State,
    Status,
    Step,
    StepRefused,
    counted,
    failed_status,
    off_or,
    run_status,
)
from rewardmodel.models import DatasetVersion, EvaluationRun, RewardCheckpoint, TrainingPolicy, TrainingRun
from rewardmodel.services.evaluations import queue_decision, queue_evaluation
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
    if facts.waiting is not None:
        return _waiting_status(facts, facts.waiting, run=run, changed=changed)
    if trained.promoted:
        return Status(State.DONE, f"{trained} is promoted", run=run, changed=changed)
    why = f" ({trained.decision_in_words})" if trained.decision_in_words else ""
    stays = f"; {facts.promoted} stays" if facts.promoted else ""
    note = f"{trained} is not promoted{why}{stays}"
    return Status(State.DONE, note, run=run, changed=changed)


def _waiting_status(
    facts: Facts, waiting: RewardCheckpoint, *, run: EvaluationRun | None, changed: str
) -> Status:
    """How the step stands while a model waits for as many test pairs as would decide about it."""
    note, wanted = f"{waiting}: {waiting.decision_in_words}", waiting.decision["waits_for_rankings"]
    if facts.finished < wanted:
        missing = f"{counted(wanted - facts.finished, 'more ranking')}, to decide about {waiting}"
        progress = (facts.finished, wanted)
        return Status(State.WAITING, note, missing=(missing,), run=run, progress=progress, changed=changed)
    because = f"there are about as many test pairs as {waiting} waits for"
    state = off_or(State.READY, by_itself=facts.trains_by_itself)
    return Status(state, note, because=because, run=run, changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Measure the newest and the promoted model on the newest dataset's test pairs.

    Where a model waits for more test pairs, it is measured on what is finished now, and decided about.

    Args: options: of `queue_evaluation`.
    Raises: StepRefused, CannotEvaluate, NothingToFreeze, NothingPromoted.
    """
    waiting = RewardCheckpoint.objects.waiting().filter(project=project).first()
    if waiting is not None and not options:
        run = queue_decision(waiting, by=by, because=because)
        return Started(f"{waiting} is measured again beside the promoted model.", run=run)
    dataset = DatasetVersion.objects.filter(project=project).order_by("-pk").first()
    if dataset is None:
        raise StepRefused("there is no dataset to measure on: freeze one first")
    models = RewardCheckpoint.objects.filter(project=project).order_by("-promoted", "-pk")[:2]
    defaults: dict[str, Any] = {"datasets": [dataset], "checkpoints": list(models)}
    run = queue_evaluation(project=project, by=by, because=because, **{**defaults, **options})
    return Started(f"{' and '.join(run.config['checkpoints'])} are measured on dataset {dataset}.", run=run)


def outcome(run: EvaluationRun) -> str:
    """Return what it measured."""
    models = [*run.config.get("checkpoints", ()), *run.config.get("baselines", ())]
    return f"measured {' and '.join(models)}" if run.state == EvaluationRun.State.FINISHED else ""


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
    about="The new model takes the promoted one's place if it surely orders held-out pairs better.",
    read=read,
    start=start,
    outcome=outcome,
    model=EvaluationRun,
    policy=TrainingPolicy,
)
