"""Which model is promoted, what a run measured, and what is due."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import F, QuerySet

from annotation.models import Project
from annotation.selectors.preferences import count_finished
from rewardmodel.models import (
    DatasetVersion,
    Evaluation,
    EvaluationRun,
    RewardCheckpoint,
    Run,
    TrainingPolicy,
    TrainingRun,
)

CURVE_POINTS = 400  # more cannot be told apart on a screen

Curve = list[tuple[int, float]]


class NothingPromoted(Exception):
    """The project has no promoted reward model yet."""


class NothingRegistered(Exception):
    """The project has no checkpoint that training could start from."""


def promoted_checkpoint(project: Project) -> RewardCheckpoint:
    """Raises: NothingPromoted."""
    found = RewardCheckpoint.objects.filter(project=project, promoted=True).select_related("run").first()
    if found is None:
        raise NothingPromoted(
            f"{project.slug}: no reward model is promoted; train one, or promote one by hand"
        )
    return found


def initial_checkpoint(project: Project) -> RewardCheckpoint:
    """What training starts from: the checkpoint registered last. Raises: NothingRegistered."""
    found = RewardCheckpoint.objects.registered().filter(project=project).order_by("-pk").first()
    if found is None:
        raise NothingRegistered(
            f"{project.slug}: no reward model is registered to start from; use register_reward_model"
        )
    return found


def answers_since_freeze(project: Project) -> int:
    """Finished rankings more than the newest dataset version has; 0 while later rejections left fewer."""
    newest = DatasetVersion.objects.filter(project=project).order_by("-pk").first()
    return max(count_finished(project) - (newest.answers if newest else 0), 0)


def is_due(policy: TrainingPolicy) -> bool:
    """Enough answers came in, and no run of the project waits or works."""
    if TrainingRun.objects.active().filter(project=policy.project).exists():
        return False
    return answers_since_freeze(policy.project) >= policy.retrain_after


def curves(run: Run, *names: str) -> dict[str, Curve]:
    """What the run measured under each name, by step; long curves are averaged over equal stretches."""
    found: dict[str, Curve] = {name: [] for name in names}
    for step, values in run.points.order_by("step").values_list("step", "values"):
        for name in names:
            if name in values:
                found[name].append((step, values[name]))
    return {name: _thin(curve) for name, curve in found.items()}


def _thin(curve: Curve) -> Curve:
    """At most CURVE_POINTS points: the mean of each stretch, at its last step."""
    stretch = -(-len(curve) // CURVE_POINTS)  # rounded up
    if stretch <= 1:
        return curve
    parts = [curve[start : start + stretch] for start in range(0, len(curve), stretch)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


@dataclass(frozen=True)
class Column:
    """One split of one dataset. `ceiling` is people's own accuracy, None where it is not known."""

    dataset: DatasetVersion
    split: str
    ceiling: float | None


@dataclass(frozen=True)
class ModelRow:
    """A model's evaluation in each column, None where it was not measured."""

    name: str
    is_promoted: bool
    is_baseline: bool
    cells: list[Evaluation | None]


@dataclass(frozen=True)
class EvaluationTable:
    """Every model on every dataset, the newest dataset first."""

    columns: list[Column]
    rows: list[ModelRow]


def evaluation_table(project: Project) -> EvaluationTable:
    """All that was measured; models by their accuracy in the first column, best first, then the rest."""
    found = list(Evaluation.objects.filter(project=project).select_related("checkpoint__run", "dataset"))
    columns = sorted({(-one.dataset_id, one.split) for one in found})
    rows = []
    for measured in {(one.checkpoint_id, one.baseline): one for one in found}.values():
        checkpoint = measured.checkpoint
        own = [one for one in found if (one.checkpoint, one.baseline) == (checkpoint, measured.baseline)]
        cells = {(-one.dataset_id, one.split): one for one in own}
        promoted = checkpoint is not None and checkpoint.promoted
        across = [cells.get(column) for column in columns]
        rows.append(ModelRow(measured.model, promoted, checkpoint is None, across))

    def rank(row: ModelRow) -> tuple[list[float], str]:
        return [-cell.figures["accuracy"]["value"] if cell else 1.0 for cell in row.cells], row.name

    heads = {(-one.dataset_id, one.split): one for one in reversed(found)}
    return EvaluationTable(
        [Column(heads[at].dataset, heads[at].split, heads[at].ceiling) for at in columns],
        sorted(rows, key=rank),
    )


def list_evaluations(run: EvaluationRun) -> QuerySet[Evaluation]:
    """What a run measured: by dataset, and there the checkpoints before the baselines."""
    found = run.evaluations.select_related("checkpoint", "dataset")
    return found.order_by("dataset", F("checkpoint").asc(nulls_last=True), "baseline")
