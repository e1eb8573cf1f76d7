"""The page of one run, of any kind, and what admins of its project may do to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from annotation import jobs
from annotation.access import MemberRequest, admin_required
from annotation.models import Project
from annotation.waking import say_if_late
from rewardmodel.models import Evaluation, RewardCheckpoint, Run, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.curves import CURVE_FORMS, curves_file
from rewardmodel.runs.settings import settings_of
from rewardmodel.runs.supervision import log_tail
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import curves

RUN = "rewardmodel/run.html"


@dataclass(frozen=True)
class Kind:
    """How runs of one kind are shown.

    Attributes:
        model: their rows.
        home, heading: URL name and title of the project's page that lists them.
        unit: what their steps are.
        last: what a run does after its last step.
        results: the template of what a run made; "" when there is none.
        measured: whether its runs have curves, which then may be downloaded.
        element: that template's custom element, after which its script and its style sheet are called.
        details: what that template needs to know of a run.
    """

    model: type[Run]
    home: str
    heading: str
    unit: str
    last: str
    results: str = ""
    measured: bool = False
    element: str = ""
    details: Callable[[Any], dict[str, Any]] = lambda run: {}


@admin_required
def show(request: MemberRequest, project: Project, pk: int, kind: Kind) -> HttpResponse:
    template = f"{RUN}#progress" if request.htmx else RUN
    return render(request, template, _context(project, kind, _run_of(project, pk, kind)))


@require_safe
@admin_required
def download_curves(request: MemberRequest, project: Project, pk: int, form: str, kind: Kind) -> HttpResponse:
    """Every curve of the run so far, as a table or as JSON."""
    if form not in CURVE_FORMS:
        raise Http404
    return curves_file(_run_of(project, pk, kind), form)


@require_POST
@admin_required
def cancel(request: MemberRequest, project: Project, pk: int, kind: Kind) -> HttpResponse:
    return _move(request, project, pk, kind, lambda run: states.cancel(run, now=now(), by=request.user))


@require_POST
@admin_required
def retry(request: MemberRequest, project: Project, pk: int, kind: Kind) -> HttpResponse:
    def queue_again(run: Run) -> None:
        states.retry(run, by=request.user)
        say_if_late(request, wake(run))

    return _move(request, project, pk, kind, queue_again)


def _move(
    request: MemberRequest, project: Project, pk: int, kind: Kind, move: Callable[[Run], None]
) -> HttpResponse:
    run = _run_of(project, pk, kind)
    try:
        move(run)
    except jobs.JobLost:
        run.refresh_from_db()
        return render(request, RUN, {**_context(project, kind, run), "lost": True}, status=409)
    return redirect(run.page, project.slug, run.pk)


def _run_of(project: Project, pk: int, kind: Kind) -> Run:
    runs = kind.model._default_manager.filter(project=project)
    return get_object_or_404(runs.select_related(*kind.model.inputs), pk=pk)


def _context(project: Project, kind: Kind, run: Run) -> dict[str, Any]:
    return {
        "project": project,
        "kind": kind,
        "run": run,
        "is_silent": kind.model.objects.silent(now=now()).filter(pk=run.pk).exists(),
        "log": log_tail(run),
        "settings": settings_of(run.config),
        **kind.details(run),
    }


def _training_details(run: TrainingRun) -> dict[str, Any]:
    curve_of = curves(run)
    return {
        "lowest": min(curve_of.get("validation_loss", []), key=lambda point: point[1], default=None),
        "checkpoint": RewardCheckpoint.objects.filter(run=run).first(),
        "evaluation": Evaluation.objects.filter(
            checkpoint__run=run, dataset=run.dataset, split="test"
        ).first(),
        "charts": [
            {
                "id": f"{name}-curve",
                "label": label,
                "x": "step",
                "format": numbers,
                "series": [
                    {"name": "training", "points": curve_of.get(name, []), "smooth": True},
                    {"name": "validation", "points": curve_of.get(f"validation_{name}", []), "dots": True},
                ],
            }
            for name, label, numbers in (
                ("loss", "Loss, nats a pair", "0.000"),
                ("accuracy", "Accuracy, share of pairs", "%"),
            )
        ],
    }


TRAINING = Kind(
    model=TrainingRun,
    home="project-models",
    heading="Reward models",
    unit="Steps",
    last="compares what came out",
    results="rewardmodel/training_results.html",
    measured=True,
    details=_training_details,
)
