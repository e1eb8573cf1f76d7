"""Which model is promoted, what a run measured, and what is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import F, QuerySet

from annotation.models import Project
from annotation.selectors.preferences import count_finished
from annotation.statistics.estimates import Estimate, NotEnough, Resamples
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
SEED = 0  # of the resamples: the same figures give the same leads

Curve = list[tuple[int, float]]


class NothingPromoted(Exception):
    """The project has no promoted reward model yet."""


class NothingRegistered(Exception):
    """The project has no checkpoint that training could start from."""


def promoted_checkpoint(project: Project) -> RewardCheckpoint:
    """Return the project's promoted reward model. Raises: NothingPromoted."""
    checkpoint = RewardCheckpoint.objects.promoted().filter(project=project).first()
    if checkpoint is None:
        raise NothingPromoted(
            f"{project.slug}: no reward model is promoted; train one, or promote one by hand"
        )
    return checkpoint


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
class Cell:
    """What a model was measured at, and its lead in accuracy over the model that all are compared with.

    `lead` is None where that one is itself, or the two were not measured on the same pairs.
    """

    evaluation: Evaluation
    lead: Estimate | NotEnough | None


@dataclass(frozen=True)
class ModelRow:
    """A model's cell in each column, None where it was not measured. `key` tells it from others."""

    key: str
    name: str
    is_promoted: bool
    is_baseline: bool
    cells: list[Cell | None]


@dataclass(frozen=True)
class EvaluationTable:
    """Every model on every dataset, the newest dataset first. `beside` is the model others may lead."""

    columns: list[Column]
    rows: list[ModelRow]
    beside: ModelRow | None


def evaluation_table(project: Project, *, beside: str = "") -> EvaluationTable:
    """All that was measured; models by their accuracy in the first column, best first, then the rest.

    Args: beside: the key of the model to compare with; of no such model, the promoted one, else the best.
    """
    found = list(Evaluation.objects.filter(project=project).select_related("checkpoint__run", "dataset"))
    columns = sorted({_column(one) for one in found})
    by_model: dict[str, list[Evaluation]] = {}
    for one in found:
        by_model.setdefault(one.model_key, []).append(one)
    heads = {_column(one): one for one in reversed(found)}

    def rank(key: str) -> tuple[list[float], str]:
        cells = {_column(one): one for one in by_model[key]}
        shares = [-cells[at].figures["accuracy"]["value"] if at in cells else 1.0 for at in columns]
        return shares, by_model[key][0].model

    keys = sorted(by_model, key=rank)
    promoted = {key for key in keys if (own := by_model[key][0].checkpoint) and own.promoted}
    chosen = next((key for key in (beside, *promoted, *keys) if key in by_model), "")
    leads = _leads(found, by_model.get(chosen, []))
    rows = []
    for key in keys:
        cells = {_column(one): Cell(one, leads.get(one.pk)) for one in by_model[key]}
        first = by_model[key][0]
        across = [cells.get(at) for at in columns]
        rows.append(ModelRow(key, first.model, key in promoted, first.checkpoint is None, across))
    return EvaluationTable(
        [Column(heads[at].dataset, heads[at].split, heads[at].ceiling) for at in columns],
        rows,
        next((row for row in rows if row.key == chosen), None),
    )


def _column(one: Evaluation) -> tuple[int, str]:
    return -one.dataset_id, one.split


def _leads(found: Sequence[Evaluation], over: Sequence[Evaluation]) -> dict[int, Estimate | NotEnough]:
    """By id, the accuracy of each less that of the one measured on the same pairs; both drawn together.

    Source: `rewardmodel.learning.evaluation.compare` does the same, but needs torch.
    """
    leads: dict[int, Estimate | NotEnough] = {}
    for rival in over:
        counts = rival.figures.get("counts", {})  # none where it was measured before they were kept
        same = [
            one
            for one in found
            if counts
            and one.pk != rival.pk
            and _column(one) == _column(rival)
            and one.figures.get("counts", {}).get("pairs") == counts["pairs"]
        ]
        if same:
            pairs = np.tile(np.array(counts["pairs"], np.float64)[:, None], len(same))  # (P, M)
            right = np.array([one.figures["counts"]["right"] for one in same], np.float64).T  # (P, M)
            gains = right - np.array(counts["right"], np.float64)[:, None]
            drawn = Resamples(len(pairs), seed=SEED).ratios(np.arange(len(pairs)), gains, pairs)
            leads |= {one.pk: lead for one, lead in zip(same, drawn, strict=True)}
    return leads


def list_evaluations(run: EvaluationRun) -> QuerySet[Evaluation]:
    """What a run measured: by dataset, and there the checkpoints before the baselines."""
    found = run.evaluations.select_related("checkpoint", "dataset")
    return found.order_by("dataset", F("checkpoint").asc(nulls_last=True), "baseline")
