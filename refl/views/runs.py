"""Pages of tunings and samplings, for admins of the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_POST

from annotation.access import MemberRequest, admin_required
from annotation.models import Project
from refl.models import Generator, SamplingRun, TuningRun
from rewardmodel.selectors import curves
from rewardmodel.services import runs
from rewardmodel.services.supervision import log_tail
from rewardmodel.tasks import wake

RUN = "refl/run.html"
AnyRun = TuningRun | SamplingRun


@admin_required
def show(request: MemberRequest, project: Project, pk: int, model: type[AnyRun]) -> HttpResponse:
    run = _run_of(project, pk, model)
    template = f"{RUN}#progress" if request.htmx else RUN
    return render(request, template, _context(project, run))


@require_POST
@admin_required
def cancel(request: MemberRequest, project: Project, pk: int, model: type[AnyRun]) -> HttpResponse:
    return _move(request, project, _run_of(project, pk, model), lambda run: runs.cancel(run, now=now()))


@require_POST
@admin_required
def retry(request: MemberRequest, project: Project, pk: int, model: type[AnyRun]) -> HttpResponse:
    def queue_again(run: AnyRun) -> None:
        runs.retry(run)
        wake(run)

    return _move(request, project, _run_of(project, pk, model), queue_again)


@admin_required
def sample_grid(request: MemberRequest, project: Project, pk: int, step: int) -> FileResponse:
    """One grid of a tuning's samples. It never changes."""
    file = _run_of(project, pk, TuningRun).folder / "samples" / f"step-{step:06}.png"
    if not file.is_file():
        raise Http404
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(file.open("rb"), content_type="image/png", headers=headers)


def _move(
    request: MemberRequest, project: Project, run: AnyRun, move: Callable[[AnyRun], None]
) -> HttpResponse:
    try:
        move(run)
    except runs.RunLost:
        run.refresh_from_db()
        return render(request, RUN, {**_context(project, run), "lost": True}, status=409)
    return redirect(f"{run.kind}-run", project.slug, run.pk)


def _run_of(project: Project, pk: int, model: type[AnyRun]) -> AnyRun:
    ours: QuerySet[Any] = model._default_manager.filter(project=project)
    run: AnyRun = get_object_or_404(ours.select_related("generator", "checkpoint__run"), pk=pk)
    return run


def _context(project: Project, run: AnyRun) -> dict[str, Any]:
    context: dict[str, Any] = {
        "project": project,
        "run": run,
        "page_url": f"{run.kind}-run",
        "cancel_url": f"cancel-{run.kind}-run",
        "retry_url": f"retry-{run.kind}-run",
        "log": log_tail(run),
        "settings": _settings(run),
    }
    if isinstance(run, TuningRun):
        context |= {
            "charts": _charts(run),
            "tuned": Generator.objects.filter(run=run).first(),
            "grids": _grids(run),
            "shown": _shown_prompts(run),
        }
    return context


def _settings(run: AnyRun) -> dict[str, Any]:
    """The run's configuration by name; of its pool of prompts only how many there are."""
    config: dict[str, Any] = run.config
    return {name: len(value) if name == "pool" else value for name, value in sorted(config.items())}


def _charts(run: TuningRun) -> list[dict[str, Any]]:
    measured = curves(run, "reward", "reward_loss", "pretraining_loss")
    titles = {
        "reward": "Reward, mean of the update's images",
        "reward_loss": "Reward loss, unweighted",
        "pretraining_loss": "Pre-training loss, unweighted",
    }
    return [
        {
            "id": f"{name}-curve",
            "label": title,
            "x": "update",
            "format": "0.000",
            "series": [{"name": name.replace("_", " "), "points": measured[name]}],
        }
        for name, title in titles.items()
    ]


def _grids(run: TuningRun) -> list[int]:
    """The updates of which there are samples: before the first, the newest, and those between."""
    return sorted(int(file.stem.removeprefix("step-")) for file in run.folder.glob("samples/step-*.png"))


def _shown_prompts(run: TuningRun) -> list[str]:
    """The prompts of the sample grids, in their order."""
    try:
        frozen = json.loads((run.folder / "prompts.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    prompts: list[str] = frozen["tuning"][: run.config["sample_prompts"]]
    return prompts
