"""The alarm of a training that learns nothing: on its run, in its log, and to whoever has a webhook."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from annotation.registry import register_event
from annotation.services.webhooks.events import announce
from rewardmodel.learning.stagnation import independent_comparisons, why_nothing_is_learned
from rewardmodel.models import TrainingRun
from rewardmodel.runs.execution import retry_on_database_error

if TYPE_CHECKING:
    from rewardmodel.learning.training import Progress

RUN_ALARM = register_event("run.alarm", "A training learns nothing so far")
logger = logging.getLogger(__name__)


class LearningWatch:
    """Looks at the curves of a run after each validation; a resumed run's begin where they stopped."""

    def __init__(self, run: TrainingRun) -> None:
        self.run = run
        counts = run.dataset.counts["validation"]
        self.comparisons = independent_comparisons(counts["rankings"], counts["pairs"])
        measured = dict(run.points.filter(step__lte=run.step).values_list("step", "values"))
        self.losses = {step: values["loss"] for step, values in measured.items() if "loss" in values}
        name = "validation_accuracy"
        self.accuracies = {step: values[name] for step, values in measured.items() if name in values}

    def look(self, progress: Progress) -> None:
        """Take a step into account; after a validation raise the alarm, or withdraw it."""
        self.losses[progress.step] = progress.loss
        if progress.validation_accuracy is None:
            return
        self.accuracies[progress.step] = progress.validation_accuracy
        reason = why_nothing_is_learned(
            [self.losses[step] for step in sorted(self.losses)],
            list(self.accuracies.values()),
            steps=progress.steps,
            comparisons=self.comparisons,
        )
        if reason != self.run.alarm:
            retry_on_database_error(lambda: record_alarm(self.run, step=progress.step, reason=reason))


def record_alarm(run: TrainingRun, *, step: int, reason: str) -> None:
    """Store the alarm, or that it is over where there is no reason; the first of a run is announced."""
    is_first = "alarm" not in run.report
    report = run.report | {"alarm": reason and {"step": step, "reason": reason}}
    with transaction.atomic():
        TrainingRun.objects.filter(pk=run.pk, attempt=run.attempt).update(report=report)
        if reason and is_first:
            data = {"run": run.pk, "kind": run.kind, "step": step, "reason": reason}
            announce(RUN_ALARM, project=run.project, data=data)
    run.report = report  # not before it is stored: whoever tries again must announce it
    if reason:
        logger.warning("Alarm at step %s: %s", f"{step:,}", reason)
    else:
        logger.info("Step %s: the alarm is over, it learns", f"{step:,}")
