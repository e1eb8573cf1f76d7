"""Which model is promoted, what a run measured, and what is due."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.db.models import F, QuerySet

from annotation.models import Project
from annotation.selectors.preferences import count_finished
from annotation.statistics.estimates import Estimate, NotEnough, Resamples
from annotation.statistics.learning_curve import LEAST_SIZES, Forecast, LearningCurve, fit_learning_curve
from annotation.statistics.superiority import Rule
from annotation.stored_files import open_file
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.model import aspects
from rewardmodel.models import (
    DatasetVersion,
    Evaluation,
    EvaluationRun,
    PromotionRule,
    RewardCheckpoint,
    Run,
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
    """Return the checkpoint registered last, from which training starts. Raises: NothingRegistered."""
    newest = RewardCheckpoint.objects.registered().filter(project=project).order_by("-pk").first()
    if newest is None:
        raise NothingRegistered(
            f"{project.slug}: no reward model is registered to start from; use register_reward_model"
        )
    return newest


def checkpoint_aspects(checkpoint: RewardCheckpoint) -> tuple[str, ...]:
    """Return what heads a reward model has beside its reward's: as its run was told, or its folder says.

    Without torch. A published file has none, nor has what is not on this machine.
    """
    if checkpoint.run is not None:
        return tuple(checkpoint.run.config.get("aspects", ()))
    try:
        with open_file(Path(checkpoint.location) / "config.json") as file:
            config = json.load(file)
        return aspects.validate(config.get("aspects", ()))
    except (OSError, ValueError, AttributeError):
        return ()


def promotion_rule(project: Project) -> Rule:
    """Return how sure a promotion has to be in the project: as it is set, else the defaults."""
    return PromotionRule.of(project).rule


def answers_since_training(project: Project) -> int:
    """Count the rankings finished since the newest dataset version that a run was asked for on."""
    trained_on = DatasetVersion.objects.trained_on().filter(project=project).order_by("-pk").first()
    return rankings_since(trained_on, finished=count_finished(project))


def rankings_since(dataset: DatasetVersion | None, *, finished: int) -> int:
    """Return how many finished rankings came in since the dataset; 0 where rejections left fewer."""
    return max(finished - (dataset.answers if dataset else 0), 0)


def curves(run: Run) -> dict[str, Curve]:
    """Return all that the run measured, by name and step; long curves are averaged over equal stretches."""
    points: dict[str, Curve] = {}
    for step, values in run.points.order_by("step").values_list("step", "values"):
        for name, value in values.items():
            points.setdefault(name, []).append((step, value))
    return {name: _thin(curve) for name, curve in points.items()}


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
    evaluations = list(
        Evaluation.objects.filter(project=project).select_related("checkpoint__run", "dataset")
    )
    columns = sorted({_column(evaluation) for evaluation in evaluations})
    by_model: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        by_model.setdefault(evaluation.model_key, []).append(evaluation)
    heads = {_column(evaluation): evaluation for evaluation in reversed(evaluations)}

    def rank(key: str) -> tuple[list[float], str]:
        cells = {_column(evaluation): evaluation for evaluation in by_model[key]}
        shares = [-cells[at].figures["accuracy"]["value"] if at in cells else 1.0 for at in columns]
        return shares, by_model[key][0].model

    keys = sorted(by_model, key=rank)
    promoted = {key for key in keys if (model := by_model[key][0].checkpoint) and model.promoted}
    chosen = next((key for key in (beside, *promoted, *keys) if key in by_model), "")
    leads = _leads(evaluations, by_model.get(chosen, []))
    rows = []
    for key in keys:
        cells = {
            _column(evaluation): Cell(evaluation, leads.get(evaluation.pk)) for evaluation in by_model[key]
        }
        first = by_model[key][0]
        across = [cells.get(at) for at in columns]
        rows.append(ModelRow(key, first.model, key in promoted, first.checkpoint is None, across))
    return EvaluationTable(
        [Column(heads[at].dataset, heads[at].split, heads[at].ceiling) for at in columns],
        rows,
        next((row for row in rows if row.key == chosen), None),
    )


def _column(evaluation: Evaluation) -> tuple[int, str]:
    return -evaluation.dataset_id, evaluation.split


def _leads(evaluations: Sequence[Evaluation], over: Sequence[Evaluation]) -> dict[int, Estimate | NotEnough]:
    """Return, by id, each accuracy less that of the rival measured on the same pairs; resampled together.

    Source: `rewardmodel.learning.evaluation.compare` does the same, but needs torch.
    """
    leads: dict[int, Estimate | NotEnough] = {}
    for rival in over:
        counts = rival.figures.get("counts", {})  # none where it was measured before they were kept
        same = [
            evaluation
            for evaluation in evaluations
            if counts
            and evaluation.pk != rival.pk
            and _column(evaluation) == _column(rival)
            and evaluation.figures.get("counts", {}).get("pairs") == counts["pairs"]
        ]
        if same:
            pairs = np.tile(np.array(counts["pairs"], np.float64)[:, None], len(same))  # (P, M)
            right = np.array([each.figures["counts"]["right"] for each in same], np.float64).T  # (P, M)
            gains = right - np.array(counts["right"], np.float64)[:, None]
            drawn = Resamples(len(pairs), seed=SEED).ratios(np.arange(len(pairs)), gains, pairs)
            leads |= {each.pk: lead for each, lead in zip(same, drawn, strict=True)}
    return leads


def list_evaluations(run: EvaluationRun) -> QuerySet[Evaluation]:
    """Return what a run measured, by dataset; of each dataset the checkpoints before the baselines."""
    evaluations = run.evaluations.select_related("checkpoint", "dataset")
    return evaluations.order_by("dataset", F("checkpoint").asc(nulls_last=True), "baseline")


@dataclass(frozen=True)
class AccuracyForecast:
    """What more rankings would bring, on the test split of one dataset.

    Attributes:
        points: trainings, each the rankings learned from and its accuracy, the smallest first.
        now: of learning from all of the dataset's, by the curve.
        left_out: trainings measured on that split that are no points of the same curve.
        more: by how many more finished rankings than the dataset has, of which its share is learned from.
    """

    dataset: DatasetVersion
    points: list[tuple[int, float]]
    left_out: int
    now: Forecast
    more: dict[int, Forecast]


def accuracy_forecast(project: Project, more: Sequence[int] = ()) -> AccuracyForecast | NotEnough:
    """Forecast test accuracy from how accurate models were that learned from fewer rankings.

    The newest dataset with trainings of three sizes or more counts, all measured on its test split; those on
    a part of its rankings count, and those on earlier datasets where they were evaluated on this one. Left
    out are those on datasets split otherwise, whose models may have learned from its test prompts, and those
    that began from another model or were configured otherwise than the newest on a whole dataset.

    Args: more: finished rankings, each 1 or more; empty: half of what there is, as many, and three times.
    """
    evaluations = (
        Evaluation.objects.filter(project=project, split="test", checkpoint__run__isnull=False)
        .select_related("dataset", "checkpoint__run__dataset")
        .annotate(accuracy=F("figures__accuracy__value"))
        .defer("figures")  # the counts of every prompt: large
    )
    by_dataset: dict[int, list[Evaluation]] = {}
    for each in evaluations.order_by("-dataset"):
        by_dataset.setdefault(each.dataset_id, []).append(each)
    sizes = 0
    for measured in by_dataset.values():
        on_curve = _on_one_curve([each for each in measured if _is_split_alike(each)])
        points = sorted(_point(each) for each in on_curve)
        curve = fit_learning_curve([size for size, _ in points], [accuracy for _, accuracy in points])
        if curve is not None:
            left_out = len(measured) - len(points)
            return _forecast(measured[0].dataset, points, curve, more, left_out=left_out)
        sizes = max(sizes, len({size for size, _ in points}))
    return NotEnough(f"{sizes} of {LEAST_SIZES} numbers of rankings were learned from")


def recipe_of(run: TrainingRun) -> tuple[int, dict[str, Any]]:
    """Return what the points of one learning curve share: all that they learn with but rankings and seed."""
    apart = {"train_share", "seed"}
    config: dict[str, Any] = RewardConfig().to_dict() | run.config
    return run.initial_id, {name: value for name, value in config.items() if name not in apart}


def _on_one_curve(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those of trainings that differ from the newest whole one in nothing but their rankings."""
    runs = [(each, each.checkpoint.run) for each in evaluations if each.checkpoint and each.checkpoint.run]
    newest = max((run for _, run in runs), key=lambda run: (not run.is_partial, run.pk), default=None)
    return [each for each, run in runs if newest is not None and recipe_of(run) == recipe_of(newest)]


def _is_split_alike(evaluation: Evaluation) -> bool:
    """Whether the model learned from a dataset split as this one, and so from none of its test prompts."""
    assert evaluation.checkpoint is not None
    assert evaluation.checkpoint.run is not None
    learned_from, dataset = evaluation.checkpoint.run.dataset, evaluation.dataset
    return (learned_from.shares, learned_from.split_by) == (dataset.shares, dataset.split_by)


def _point(evaluation: Evaluation) -> tuple[int, float]:
    """Return its model's rankings, and its accuracy, which the query annotates."""
    assert evaluation.checkpoint is not None
    assert evaluation.checkpoint.run is not None
    return evaluation.checkpoint.run.rankings, vars(evaluation)["accuracy"]


def _forecast(
    dataset: DatasetVersion,
    points: list[tuple[int, float]],
    curve: LearningCurve,
    more: Sequence[int],
    *,
    left_out: int,
) -> AccuracyForecast:
    learned, finished = dataset.counts["train"]["rankings"], dataset.total("rankings")
    forecasts = {
        number: curve.forecast(learned + round(number * learned / finished))
        for number in more or [_round(finished * times) for times in (0.5, 1, 3)]
    }
    return AccuracyForecast(dataset, points, left_out, curve.forecast(learned), forecasts)


def _round(number: float) -> int:
    """To two digits, as people would say it; at least 1."""
    return max(1, int(float(f"{number:.1e}")))
