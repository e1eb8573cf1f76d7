"""The leaderboard of generators, by people's preferences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import Avg, Q

from annotation.charts import Whisker, whisker
from annotation.models import Assignment, Generation, Placement, Project
from annotation.selectors.projects.images import most_used_model
from annotation.statistics.correlation import spearman
from annotation.statistics.estimates import NotEnough
from annotation.statistics.leaderboard import Board, Standing, leaderboard
from annotation.statistics.panels import Placements

CHUNK = 5000  # rows fetched at a time
ENOUGH_GENERATORS = 4  # fewest for a rank correlation
ROW = [("prompt", "i8"), ("opinion", "i8"), ("image", "i8"), ("slot", "i8"), ("generator", "i8")]


@dataclass(frozen=True)
class NamedStanding:
    """A generator on a board. `score` is the reward model's mean score, None if it scored no image."""

    generator: str
    standing: Standing
    whisker: Whisker
    score: float | None


@dataclass(frozen=True)
class NamedBoard:
    """`correlation` is Spearman's, of strengths and mean scores; None where too few generators have both."""

    generators: list[str]
    prompts: int
    standings: list[NamedStanding] | NotEnough
    correlation: float | None


@dataclass(frozen=True)
class Leaderboard:
    """`alone` are generators never compared with another; `model` is the reward model of the scores."""

    boards: list[NamedBoard]
    alone: list[str]
    model: str


def project_leaderboard(project: Project) -> Leaderboard:
    """Return the leaderboard of the project's accepted rankings, in one streamed query."""
    numbers: dict[str, int] = {}
    placements = (
        Placement.objects.filter(
            ranking__assignment__project=project,
            ranking__assignment__kind=Assignment.Kind.ORDINARY,
            ranking__assignment__state=Assignment.State.ACCEPTED,
        )
        .order_by()
        .values_list(
            "ranking__assignment__prompt_id",
            "ranking__assignment_id",
            "generation_id",
            "slot",
            "generation__generator",
        )
    )
    rows = (
        (*row, numbers.setdefault(generator, len(numbers)))
        for *row, generator in placements.iterator(chunk_size=CHUNK)
    )
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        table = np.fromiter(rows, ROW)
    _, prompts = np.unique(table["prompt"], return_inverse=True)
    nobody, unscored = np.zeros(len(table), np.int64), np.full(len(table), np.nan)
    placed = Placements(prompts, table["opinion"], nobody, table["image"], table["slot"], unscored)
    boards = leaderboard(placed, table["generator"])
    model, names = most_used_model(project), list(numbers)
    scores = _mean_scores(project, model)
    ranked = {item for board in boards for item in board.items}
    return Leaderboard(
        boards=[_with_names(board, names, scores) for board in boards],
        alone=sorted(name for name, number in numbers.items() if number not in ranked),
        model=model,
    )


def _with_names(board: Board, names: list[str], scores: dict[str, float]) -> NamedBoard:
    generators, correlation = [names[item] for item in board.items], None
    if isinstance(board.standings, NotEnough):
        return NamedBoard(generators, board.prompts, board.standings, correlation)
    strengths = [standing.strength for standing in board.standings]
    axis = min(strength.low for strength in strengths), max(strength.high for strength in strengths)
    standings = [
        NamedStanding(
            names[standing.item],
            standing,
            whisker(strength.low, strength.value, strength.high, mark=0.0, axis=axis),
            scores.get(names[standing.item]),
        )
        for standing, strength in zip(board.standings, strengths, strict=True)
    ]
    points = [(row.standing.strength.value, row.score) for row in standings if row.score is not None]
    if len(points) >= ENOUGH_GENERATORS:
        correlation = spearman(*zip(*points, strict=True))
    return NamedBoard(generators, board.prompts, standings, correlation)


def _mean_scores(project: Project, model: str) -> dict[str, float]:
    """Return the mean score of each generator's images."""
    scored = (
        Generation.objects.collected().filter(prompt__project=project).order_by().values_list("generator")
    )
    means = scored.annotate(mean=Avg("score", filter=Q(scored_by=model)))
    return {name: mean for name, mean in means if mean is not None}
