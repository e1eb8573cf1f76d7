"""What the page of a tuning shows of its samples: the same prompts and seeds, after one update or another."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from PIL import Image

from annotation.access import MemberRequest, admin_required
from annotation.image_files import LASTING
from annotation.models import Project
from refl.models import TuningRun
from refl.sample_grids import cell_box, grid_file, grid_prompts, grid_steps


@admin_required
def sample_grid(request: MemberRequest, project: Project, pk: int, step: int) -> FileResponse:
    """Return one grid of a tuning's samples. It never changes."""
    run = get_object_or_404(TuningRun, project=project, pk=pk)
    file = grid_file(run, step)
    if not file.is_file():
        raise Http404
    return FileResponse(file.open("rb"), content_type="image/png", headers=LASTING)


def sample_details(run: TuningRun, *, best: int, choice: str) -> dict[str, Any] | None:
    """Return what `refl/samples.html` shows; None of a run without samples.

    The browser cuts the images out of their grids: one file an update, whatever version made it. Where it
    is not known which prompts they are of, there are no pictures, and the grids are shown whole.

    Args: best: the update that the guards keep, 0 for none; choice: how that is called.
    """
    steps = grid_steps(run)
    if not steps:
        return None
    grids = [
        {
            "step": step,
            "name": _name(step),
            "note": choice if step and step == best else "",
            "url": reverse("sample-grid", args=[run.project.slug, run.pk, step]),
        }
        for step in steps
    ]
    size, pictures = _pictures(run, steps[0])
    return {
        "version": f"{len(steps)}-{best}-{choice}",
        "grids": grids,
        "base": grids[0],
        "newest": grids[-1],
        "size": size,
        "pictures": pictures,
    }


def _name(step: int) -> str:
    if step == 0:
        return "Before tuning"
    return f"After {step:,} update{'s' if step > 1 else ''}"


def _pictures(run: TuningRun, step: int) -> tuple[tuple[int, int], list[dict[str, str]]]:
    """Return the size of a run's grids, and of each image on them its prompt and view box.

    A view box goes to the middle of the outer pixels, so that no gap shines in.
    """
    prompts = grid_prompts(run)
    try:
        with Image.open(grid_file(run, step)) as grid:  # its pixels are not read
            boxes = [cell_box(grid, place, len(prompts)) for place in range(len(prompts))]
            size = grid.size
    except OSError:
        return (0, 0), []
    views = [f"{left + 0.5} {top + 0.5} {width - 1} {height - 1}" for left, top, width, height in boxes]
    return size, [{"prompt": prompt, "view": view} for prompt, view in zip(prompts, views, strict=True)]
