"""What people said of prompts and images, in figures: for inspectors, researchers and admins."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, studying_required
from annotation.downloads import csv_response
from annotation.models import Problem, Project
from annotation.models.judgements import SCALES
from annotation.selectors.results.analysis import MEASURES, Analysis, project_analysis
from annotation.statistics.estimates import ENOUGH_PROMPTS, Estimate

ANALYSIS = "annotation/results/analysis.html"
COLUMNS = ("figure", "group", "measure", "value", "low", "high", "prompts", "count")


@require_safe
@studying_required
def analysis(request: MemberRequest, project: Project) -> HttpResponse:
    """The paper's analyses of its data (ImageReward, appendix A.4), of this project's."""
    found = project_analysis(project)
    context = {
        "project": project,
        "tab": "analysis",
        "analysis": found,
        "scales": SCALES,
        "problems": Problem.labels,
        "problem_rows": list(zip(Problem.labels, found.images.problems, strict=True)),
        "most_common": max((max(counts) for _, counts in found.distribution), default=0) or 1,
        "enough": ENOUGH_PROMPTS,
    }
    return render(request, ANALYSIS, context)


@require_safe
@studying_required
def analysis_table(request: MemberRequest, project: Project) -> HttpResponseBase:
    """Every figure of the page as CSV; what there is too little for has no value."""
    return csv_response(_table(project_analysis(project)), name=f"analysis-{project.slug}.csv")


def _table(found: Analysis) -> Iterator[tuple[object, ...]]:
    yield COLUMNS
    for name, prompts, *numbers in found.labels:
        for measure, count in zip(("labels", "unclear", "issues"), numbers, strict=True):
            yield "labels by category", name, measure, "", "", "", prompts, count
    groups = {
        "all images": [found.images],
        "by category": found.by_category,
        "by share of function words": found.by_function_words,
        "by generator": found.by_generator,
    }
    for title, members in groups.items():
        for group in members:
            for measure, figure in zip(MEASURES, group.figures, strict=True):
                if isinstance(figure, Estimate):
                    said = (round(number, 4) for number in (figure.value, figure.low, figure.high))
                    yield title, group.name, measure, *said, figure.prompts, figure.count
                else:
                    yield title, group.name, measure, "", "", "", group.prompts, group.ratings
    for star, counts in found.distribution:
        for scale, count in zip(SCALES, counts, strict=True):
            yield "distribution", star, scale, "", "", "", "", count
