"""Pages about datasets, training runs and reward models, for admins of the project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_POST

from annotation.access import MemberRequest, admin_required, member_required
from annotation.models import Membership, Project
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingPolicy, TrainingRun
from rewardmodel.selectors import NothingRegistered, answers_since_freeze, curves
from rewardmodel.services import runs
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.datasets import NothingToFreeze
from rewardmodel.services.supervision import log_tail
from rewardmodel.services.training import NotTrainable, queue_training
from rewardmodel.tasks import wake

INDEX, PROJECT, RUN = (f"rewardmodel/{page}.html" for page in ("index", "project", "run"))
LISTED = 50  # newest runs and datasets on a page


@member_required
def index(request: MemberRequest) -> HttpResponse:
    projects = Project.objects.with_role(request.user, Membership.Role.ADMIN)
    if not projects:
        raise Http404
    if len(projects) == 1:
        return redirect("project-models", projects[0].slug)
    promoted = {
        checkpoint.project_id: checkpoint
        for checkpoint in RewardCheckpoint.objects.filter(project__in=projects, promoted=True)
    }
    rows = [{"project": project, "promoted": promoted.get(project.pk)} for project in projects]
    return render(request, INDEX, {"rows": rows})


@admin_required
def project_models(request: MemberRequest, project: Project) -> HttpResponse:
    template = f"{PROJECT}#runs" if request.htmx else PROJECT
    return render(request, template, _project_context(project))


@require_POST
@admin_required
def train_now(request: MemberRequest, project: Project) -> HttpResponse:
    try:
        run = queue_training(project=project)
    except (NotTrainable, NothingToFreeze, NothingRegistered) as error:
        return render(request, PROJECT, {**_project_context(project), "refusal": str(error)}, status=422)
    wake(run)
    return redirect("training-run", project.slug, run.pk)


@admin_required
def training_run(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    run = _run_of(project, pk)
    template = f"{RUN}#progress" if request.htmx else RUN
    return render(request, template, _run_context(project, run))


@require_POST
@admin_required
def cancel_run(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    return _move(request, project, _run_of(project, pk), lambda run: runs.cancel(run, now=now()))


@require_POST
@admin_required
def retry_run(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    def queue_again(run: TrainingRun) -> None:
        runs.retry(run)
        wake(run)

    return _move(request, project, _run_of(project, pk), queue_again)


@require_POST
@admin_required
def promote_checkpoint(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    checkpoint = get_object_or_404(RewardCheckpoint, pk=pk, project=project)
    promote(checkpoint, now=now())
    messages.success(request, f"{checkpoint} is promoted.")
    return redirect("project-models", project.slug)


def _move(
    request: MemberRequest, project: Project, run: TrainingRun, move: Callable[[TrainingRun], None]
) -> HttpResponse:
    try:
        move(run)
    except runs.RunLost:
        run.refresh_from_db()
        return render(request, RUN, {**_run_context(project, run), "lost": True}, status=409)
    return redirect("training-run", project.slug, run.pk)


def _run_of(project: Project, pk: int) -> TrainingRun:
    related = ("dataset", "initial", "project")
    return get_object_or_404(TrainingRun.objects.select_related(*related), pk=pk, project=project)


def _project_context(project: Project) -> dict[str, Any]:
    found = TrainingRun.objects.filter(project=project).select_related("dataset", "checkpoint")[:LISTED]
    return {
        "project": project,
        "runs": found,
        "is_active": any(not run.is_over for run in found),
        "checkpoints": RewardCheckpoint.objects.filter(project=project).select_related("run"),
        "datasets": DatasetVersion.objects.filter(project=project)[:LISTED],
        "new_answers": answers_since_freeze(project),
        "policy": TrainingPolicy.objects.filter(project=project).first(),
    }


def _run_context(project: Project, run: TrainingRun) -> dict[str, Any]:
    measured = curves(run, "loss", "validation_loss", "accuracy", "validation_accuracy")
    return {
        "project": project,
        "run": run,
        "checkpoint": RewardCheckpoint.objects.filter(run=run).first(),
        "log": log_tail(run),
        "charts": [
            {
                "id": "loss-curve",
                "label": "Loss, nats a pair",
                "x": "step",
                "format": "0.000",
                "series": [
                    {"name": "training", "points": measured["loss"]},
                    {"name": "validation", "points": measured["validation_loss"]},
                ],
            },
            {
                "id": "accuracy-curve",
                "label": "Accuracy, share of pairs",
                "x": "step",
                "format": "%",
                "series": [
                    {"name": "training", "points": measured["accuracy"]},
                    {"name": "validation", "points": measured["validation_accuracy"]},
                ],
            },
        ],
    }
