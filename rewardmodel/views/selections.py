"""Pages about selecting a project's prompts, for its admins. They stand beside the project's other pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.image_files import LASTING
from annotation.models import Project, PromptSelection
from annotation.selectors.projects.images import strips
from annotation.selectors.projects.selections import newest_selection
from annotation.waking import say_if_late
from rewardmodel.forms import SelectionForm
from rewardmodel.models import SelectionRun
from rewardmodel.runs.views import Kind
from rewardmodel.runs.waking import wake
from rewardmodel.services.selections import CannotSelect, discard_selection, queue_selection

PROJECT = "rewardmodel/selections.html"
RUNS = "rewardmodel/runs.html#runs"
LISTED = 50  # newest runs on a page
SHOWN = 200  # chosen prompts on a page; the file has all
BATCH = 10_000  # chosen prompts in memory at a time
SHOWN_LENGTH = 200  # letters of a prompt on the map


@require_safe
@admin_required
def selections(request: MemberRequest, project: Project) -> HttpResponse:
    template = RUNS if request.htmx else PROJECT
    return render(request, template, _project_context(project, SelectionForm()))


@require_POST
@admin_required
def select_now(request: MemberRequest, project: Project) -> HttpResponse:
    form = SelectionForm(request.POST)
    if not form.is_valid():
        return render(request, PROJECT, _project_context(project, form), status=422)
    try:
        run = queue_selection(project=project, config=form.config(), by=request.user)
    except CannotSelect as error:
        form.add_error(None, str(error))
        return render(request, PROJECT, _project_context(project, form), status=422)
    say_if_late(request, wake(run))
    return redirect(run.page, project.slug, run.pk)


@require_POST
@admin_required
def discard(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Discard what a run chose."""
    discard_selection(_find_selection(project, pk), by=request.user)
    messages.success(request, "The selection is discarded; images made for its prompts stay.")
    return redirect("selections", project.slug)


@require_safe
@gzip_page
@admin_required
def points(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Return the map's points and their prompts as columns. They never change."""
    plane = _find_selection(project, pk).plane or {}
    texts = dict(project.prompts.filter(pk__in=plane["prompts"]).values_list("pk", "text"))
    labels = [texts.get(prompt, "")[:SHOWN_LENGTH] for prompt in plane["prompts"]]
    columns = {name: plane[name] for name in ("prompts", "x", "y")} | {"texts": labels}
    return JsonResponse(columns, headers=LASTING)


@require_safe
@admin_required
def download(request: MemberRequest, project: Project, pk: int) -> StreamingHttpResponse:
    """Return the chosen prompts as `import_prompts` takes them, one a line."""
    rows = _find_selection(project, pk).chosen.values_list("prompt__key", "prompt__text")

    def lines() -> Iterator[str]:
        for start in range(0, rows.count(), BATCH):  # of a finished selection, which stays as it is
            for key, text in rows[start : start + BATCH]:
                yield json.dumps({"id": key, "prompt": text}, ensure_ascii=False) + "\n"

    name = f'attachment; filename="{project.slug}-selection-{pk}.jsonl"'
    return StreamingHttpResponse(
        lines(), content_type="application/jsonl", headers={"Content-Disposition": name}
    )


def _find_selection(project: Project, run: int) -> PromptSelection:
    return get_object_or_404(PromptSelection.objects.finished(), run__pk=run, project=project)


def _project_context(project: Project, form: SelectionForm) -> dict[str, Any]:
    runs = SelectionRun.objects.filter(project=project)[:LISTED]
    return {
        "project": project,
        "tab": "selections",
        "kind": SELECTION,
        "prompts": project.prompts.count(),
        "selection": newest_selection(project),
        "runs": runs,
        "is_active": any(not run.is_over for run in runs),
        "form": form,
        "how": [field for field in form if field.name != "count"],
    }


def _details(run: SelectionRun) -> dict[str, Any]:
    selection = run.selection
    if selection is None or selection.finished_at is None:
        return {}
    newest = newest_selection(run.project)
    chosen = selection.chosen.select_related("prompt")
    shown = chosen[:SHOWN]
    return {
        "selection": selection,
        "is_used": newest is not None and newest.pk == selection.pk,
        "chosen": shown,
        "strips": strips([choice.prompt_id for choice in shown]),
        "chosen_count": chosen.count(),
        "map": _map(selection),
    }


def _map(selection: PromptSelection) -> dict[str, Any]:
    """Return the plane as two SVG paths: a dot is a line of no length with round ends."""
    plane: dict[str, Any] = selection.plane or {}
    chosen = set(selection.chosen.values_list("prompt", flat=True))
    dots: dict[bool, list[str]] = {True: [], False: []}
    for prompt, x, y in zip(plane["prompts"], plane["x"], plane["y"], strict=True):
        dots[prompt in chosen].append(f"M{x:g} {plane['height'] - y:g}h0")
    return {
        "width": plane["width"],
        "height": plane["height"],
        "share": sum(plane["shares"]),
        "count": len(plane["prompts"]),
        "others": "".join(dots[False]),
        "chosen": "".join(dots[True]),
    }


SELECTION = Kind(
    model=SelectionRun,
    home="selections",
    heading="Selections",
    unit="Prompts read, then compared",
    last="draws the map",
    results="rewardmodel/selection_results.html",
    element="prompt-map",
    details=_details,
)
