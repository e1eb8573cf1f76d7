"""How far people agree, and which generators they prefer: for inspectors, researchers and admins."""

from __future__ import annotations

from typing import get_args

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotation.access import MemberRequest, studying_required
from annotation.models import Project
from annotation.selectors.results.agreement import project_agreement, rating_agreement, read_opinions
from annotation.selectors.results.leaderboard import project_leaderboard
from annotation.statistics.agreement import Measure

AGREEMENT = "annotation/results/agreement.html"
LEADERBOARD = "annotation/results/leaderboard.html"
MEASURES: dict[Measure, str] = {"strict": "Ties left out", "half": "Ties as half", "tau": "Kendall's tau-b"}


@require_safe
@studying_required
def agreement(request: MemberRequest, project: Project) -> HttpResponse:
    """The paper's Table 2a, each person by themselves, and the rating scales."""
    asked = request.GET.get("by", "strict")
    measure: Measure = next((name for name in get_args(Measure) if name == asked), "strict")
    opinions = read_opinions(project)
    context = {
        "project": project,
        "tab": "agreement",
        "measure": measure,
        "measures": MEASURES,
        "unit": "plain" if measure == "tau" else "percent",
        "agreement": project_agreement(opinions, measure),
        "axes": rating_agreement(project) if project.asks_ratings else None,
    }
    return render(request, AGREEMENT, context)


@require_safe
@studying_required
def leaderboard(request: MemberRequest, project: Project) -> HttpResponse:
    """Generators by how often people prefer their images."""
    context = {"project": project, "tab": "leaderboard", "leaderboard": project_leaderboard(project)}
    return render(request, LEADERBOARD, context)
