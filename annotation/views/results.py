"""Results of a project's answers, for inspectors, researchers and admins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, studying_required
from annotation.downloads import csv_response
from annotation.models import Problem, Project
from annotation.selectors.results.agreement import project_agreement, rating_agreement, read_opinions
from annotation.selectors.results.analysis import Analysis, Figure, project_analysis
from annotation.selectors.results.leaderboard import project_leaderboard
from annotation.selectors.results.positions import position_figures
from annotation.statistics.agreement import Measure
from annotation.statistics.estimates import ENOUGH_PROMPTS, Estimate
from annotation.statistics.positions import PositionFigure

AGREEMENT = "annotation/results/agreement.html"
LEADERBOARD = "annotation/results/leaderboard.html"
ANALYSIS = "annotation/results/analysis.html"
TITLES: dict[Measure, str] = {"strict": "Ties left out", "half": "Ties as half", "tau": "Kendall's tau-b"}
COLUMNS = ("figure", "group", "measure", "value", "low", "high", "prompts", "count")


@require_safe
@studying_required
def agreement(request: MemberRequest, project: Project) -> HttpResponse:
    """Show the paper's Table 2a, the agreement of each person, and of the ratings."""
    by = request.GET.get("by", "strict")
    measure: Measure = next((name for name in get_args(Measure) if name == by), "strict")
    opinions = read_opinions(project)
    context = {
        "project": project,
        "tab": "agreement",
        "measure": measure,
        "measures": TITLES,
        "unit": "plain" if measure == "tau" else "percent",
        "agreement": project_agreement(opinions, measure),
        "axes": rating_agreement(project) if project.asks_ratings else None,
    }
    return render(request, AGREEMENT, context)


@require_safe
@studying_required
def leaderboard(request: MemberRequest, project: Project) -> HttpResponse:
    """Show generators ranked by people's preferences."""
    context = {"project": project, "tab": "leaderboard", "leaderboard": project_leaderboard(project)}
    return render(request, LEADERBOARD, context)


@require_safe
@studying_required
def analysis(request: MemberRequest, project: Project) -> HttpResponse:
    """Show the paper's analyses (ImageReward, appendix A.4) of this project's answers."""
    results = project_analysis(project)
    context = {
        "project": project,
        "tab": "analysis",
        "analysis": results,
        "positions": position_figures(project),
        "problems": Problem.labels,
        "problem_rows": list(zip(Problem.labels, results.images.problems, strict=True)),
        "most_common": max((max(counts) for _, counts in results.distribution), default=0) or 1,
        "enough": ENOUGH_PROMPTS,
    }
    return render(request, ANALYSIS, context)


@require_safe
@studying_required
def analysis_table(request: MemberRequest, project: Project) -> HttpResponseBase:
    """Return every figure of the page as CSV; figures with too little data are empty."""
    rows = _table(project_analysis(project), position_figures(project))
    return csv_response(rows, name=f"analysis-{project.slug}.csv")


def _table(results: Analysis, positions: list[PositionFigure]) -> Iterator[tuple[object, ...]]:
    yield COLUMNS
    for name, prompts, *numbers in results.labels:
        for measure, count in zip(("labels", "unclear", "issues"), numbers, strict=True):
            yield "labels by category", name, measure, "", "", "", prompts, count
    groups = {
        "all images": [results.images],
        "by category": results.by_category,
        "by share of function words": results.by_function_words,
        "by generator": results.by_generator,
    }
    for title, members in groups.items():
        for group in members:
            for measure, figure in zip(results.measures, group.figures, strict=True):
                yield title, group.name, measure, *_cells(figure, group.prompts, group.ratings)
    for place in positions:
        yield "by place on the page", place.position, "preferred", *_cells(place.preferred, "", place.images)
    for star, counts in results.distribution:
        for axis, count in zip(results.axes, counts, strict=True):
            yield "distribution", star, axis.name, "", "", "", "", count


def _cells(figure: Figure, prompts: int | str, count: int) -> tuple[object, ...]:
    """Return the cells from the value on. Args: prompts, count: in place of those of a figure not given."""
    if not isinstance(figure, Estimate):
        return "", "", "", prompts, count
    ends = (round(number, 4) for number in (figure.value, figure.low, figure.high))
    return *ends, figure.prompts, figure.count
