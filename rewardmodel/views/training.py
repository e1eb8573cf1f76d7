"""Pages about a project's datasets and reward models, for its admins."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_POST

from annotation.access import MemberRequest, admin_required, admins_projects
from annotation.models import Project
from annotation.selectors.projects.images import STRIP
from annotation.selectors.results.scores import best_images, extreme_images
from annotation.statistics.estimates import NotEnough
from annotation.waking import say_if_late
from rewardmodel.forms import PromotionRuleForm
from rewardmodel.models import DatasetVersion, PromotionRule, RewardCheckpoint, TrainingPolicy, TrainingRun
from rewardmodel.runs.views import TRAINING
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import (
    NothingPromoted,
    NothingRegistered,
    accuracy_forecast,
    answers_since_training,
)
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.evaluations import CannotEvaluate, queue_decision
from rewardmodel.services.promotions import change_rule
from rewardmodel.services.training import NotTrainable, queue_learning_curve, queue_training

INDEX, PROJECT = (f"rewardmodel/{page}.html" for page in ("index", "project"))
RUNS = "rewardmodel/runs.html#runs"
LISTED = 50  # newest runs and datasets on a page
SHOWN = 6  # images that the promoted model ranks highest, and lowest


@admins_projects("project-models")
def index(request: MemberRequest, projects: QuerySet[Project]) -> HttpResponse:
    promoted = {
        checkpoint.project_id: checkpoint
        for checkpoint in RewardCheckpoint.objects.filter(project__in=projects, promoted=True)
    }
    best = best_images({pk: checkpoint.name for pk, checkpoint in promoted.items()}, count=STRIP)
    rows = [
        {"project": project, "promoted": promoted.get(project.pk), "best": best.get(project.pk)}
        for project in projects
    ]
    return render(request, INDEX, {"rows": rows})


@admin_required
def project_models(request: MemberRequest, project: Project) -> HttpResponse:
    if request.htmx:
        return render(request, RUNS, _runs(project))
    return render(request, PROJECT, _context(project))


@require_POST
@admin_required
def train_now(request: MemberRequest, project: Project) -> HttpResponse:
    try:
        run = queue_training(project=project, by=request.user)
    except (NotTrainable, NothingToFreeze, NothingRegistered) as error:
        return render(request, PROJECT, {**_context(project), "refusal": str(error)}, status=422)
    say_if_late(request, wake(run))
    return redirect(run.page, project.slug, run.pk)


@require_POST
@admin_required
def measure_learning_curve(request: MemberRequest, project: Project) -> HttpResponse:
    """Train on parts of the newest dataset, so that what more rankings would bring can be forecast."""
    try:
        runs = queue_learning_curve(project=project, by=request.user)
    except NotTrainable as error:
        return render(request, PROJECT, {**_context(project), "refusal": str(error)}, status=422)
    say_if_late(request, all([wake(run) for run in runs]))
    return redirect("project-models", project.slug)


@require_POST
@admin_required
def promote_checkpoint(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    checkpoint = get_object_or_404(RewardCheckpoint, pk=pk, project=project)
    promote(checkpoint, now=now(), by=request.user)
    messages.success(request, f"{checkpoint} is promoted.")
    return redirect("project-models", project.slug)


@require_POST
@admin_required
def change_promotion_rule(request: MemberRequest, project: Project) -> HttpResponse:
    form = PromotionRuleForm(request.POST, instance=PromotionRule.of(project))
    if not form.is_valid():
        return render(request, PROJECT, {**_context(project), "rule_form": form}, status=422)
    promoted = RewardCheckpoint.objects.promoted().filter(project=project)
    before = promoted.first()
    change_rule(project=project, now=now(), by=request.user, **form.cleaned_data)
    messages.success(request, "The rule of promotion is stored.")
    after = promoted.first()
    if after != before:
        scoring = f"images have no scores of it before score_images {project.slug}"
        messages.warning(request, f"{after} is promoted by it; {scoring}.")
    return redirect("project-models", project.slug)


@require_POST
@admin_required
def measure_waiting(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Measure a model that waits for test pairs, and the promoted one, on what is finished now."""
    waiting = get_object_or_404(RewardCheckpoint.objects.waiting(), pk=pk, project=project)
    try:
        run = queue_decision(waiting, by=request.user)
    except (CannotEvaluate, NothingToFreeze, NothingPromoted) as error:
        return render(request, PROJECT, {**_context(project), "refusal": str(error)}, status=422)
    say_if_late(request, wake(run))
    return redirect(run.page, project.slug, run.pk)


def _forecast(project: Project) -> dict[str, Any]:
    """What more rankings would bring; `forecast_waits` says why nobody can tell."""
    forecast = accuracy_forecast(project)
    if isinstance(forecast, NotEnough):
        return {"forecast_waits": forecast.reason, "can_measure": True}
    newest = DatasetVersion.objects.trained_on().filter(project=project).order_by("-pk").first()
    ahead = [(forecast.now.answers, forecast.now), *((each.answers, each) for each in forecast.more.values())]
    return {
        "forecast": forecast,
        "can_measure": newest != forecast.dataset,
        "learning_curve": {
            "id": "learning-curve",
            "label": "Test accuracy by rankings learned from",
            "x": "rankings",
            "format": "%",
            "series": [
                {"name": "Trained", "points": [list(point) for point in forecast.points], "dots": True},
                {
                    "name": "Forecast",
                    "points": [[size, each.value] for size, each in ahead],
                    "band": [[size, each.low, each.high] for size, each in ahead],
                },
            ],
        },
    }


def _context(project: Project) -> dict[str, Any]:
    checkpoints = list(RewardCheckpoint.objects.filter(project=project).select_related("run"))
    promoted = next((checkpoint for checkpoint in checkpoints if checkpoint.promoted), None)
    return {
        **_runs(project),
        "tab": "models",
        "checkpoints": checkpoints,
        "promoted": promoted,
        "highest": extreme_images(project, promoted.name, count=SHOWN) if promoted else [],
        "lowest": extreme_images(project, promoted.name, count=SHOWN, lowest=True) if promoted else [],
        "datasets": DatasetVersion.objects.filter(project=project)[:LISTED],
        **_forecast(project),
        "new_answers": answers_since_training(project),
        "rule_form": PromotionRuleForm(instance=PromotionRule.of(project)),
        "policy": TrainingPolicy.objects.filter(project=project).first(),
    }


def _runs(project: Project) -> dict[str, Any]:
    runs = TrainingRun.objects.filter(project=project).select_related(*TrainingRun.inputs)[:LISTED]
    return {
        "project": project,
        "kind": TRAINING,
        "runs": runs,
        "is_active": any(not run.is_over for run in runs),
    }
