"""The page of one reward model: what it ranks highest and lowest, and where people disagree with it."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.access import Do, MemberRequest, may, researcher_required
from annotation.models import Project
from annotation.selectors.projects.images import most_used_model
from annotation.selectors.results.scores import LOOKED_AT, count_scored, disagreements, extreme_images
from rewardmodel.models import RewardCheckpoint

ONE = "rewardmodel/checkpoint.html"
EXTREMES = 8  # images at either end
DISAGREEMENTS = 12  # pairs


@require_safe
@researcher_required
def checkpoint(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Show a reward model by pictures. Images keep the scores of the model that scored them last alone."""
    row = get_object_or_404(RewardCheckpoint.objects.select_related("run"), pk=pk, project=project)
    scored, images = count_scored(project, row.name)
    context = {
        "project": project,
        "tab": "evaluations",
        "is_admin": may(request.user, Do.ADMINISTER, project),
        "checkpoint": row,
        "evaluations": row.evaluations.select_related("checkpoint", "dataset"),
        "scored": scored,
        "images": images,
        "other_model": "" if scored else most_used_model(project),
    }
    if scored:
        context |= {
            "highest": extreme_images(project, row.name, count=EXTREMES),
            "lowest": extreme_images(project, row.name, count=EXTREMES, lowest=True),
            "disagreements": disagreements(project, row.name, count=DISAGREEMENTS),
            "looked_at": LOOKED_AT,
        }
    return render(request, ONE, context)
