"""Images by which admins see what a generator draws, and what its tuning changed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe
from PIL import Image

from annotation.access import MemberRequest, admin_required
from annotation.image_files import LASTING
from annotation.models import Generation, Project
from annotation.stored_files import open_file
from refl.judged_images import SIDES, Side, judged_file, read_judged
from refl.models import Generator, TuningRun
from refl.sample_grids import cell, cell_size, grid_file, grid_prompts, grid_steps
from refl.selectors.generators import images_by_generator

STRIP = 6  # images of a generator among others


@dataclass(frozen=True)
class Picture:
    """An image on a page, width and height in pixels; `name` says what made it."""

    url: str
    width: int
    height: int
    name: str
    prompt: str
    is_harmful: bool = False


@dataclass(frozen=True)
class BeforeAfter:
    """What `components/before_after.html` shows: images of one prompt. `key` is this pair's alone."""

    key: str
    before: Picture
    after: Picture

    @property
    def prompt(self) -> str:
        return self.after.prompt

    @property
    def is_harmful(self) -> bool:
        return self.before.is_harmful or self.after.is_harmful


@require_safe
@admin_required
def judged_image(request: MemberRequest, project: Project, pk: int, number: int, side: str) -> FileResponse:
    """Return one of the images by which the result of a tuning was judged, or its parent's."""
    run = get_object_or_404(TuningRun, project=project, pk=pk)
    file = judged_file(run.folder, number, side) if side in SIDES else None
    if file is None:
        raise Http404
    try:
        content = open_file(file)
    except FileNotFoundError:
        raise Http404 from None
    return FileResponse(content, content_type="image/webp", headers=LASTING)


@require_safe
@admin_required
def sample_image(request: MemberRequest, project: Project, pk: int, step: int, place: int) -> HttpResponse:
    """Return one image of a tuning's sample grid. Raises: Http404 if it cannot be read."""
    run = get_object_or_404(TuningRun, project=project, pk=pk)
    count = len(grid_prompts(run))
    if place >= count:
        raise Http404
    content = io.BytesIO()
    try:
        with open_file(grid_file(run, step)) as file, Image.open(file) as grid:
            cell(grid, place, count).save(content, "PNG")
    except (OSError, SyntaxError, ValueError) as error:  # what decoders raise on broken bytes
        raise Http404 from error
    return HttpResponse(content.getvalue(), content_type="image/png", headers=LASTING)


def pairs_of(tuned: Generator) -> list[BeforeAfter]:
    """Return images of a tuned generator and its parent, the same prompts and seeds; none of another."""
    return judged_pairs(tuned) or sampled_pairs(tuned)


def judged_pairs(tuned: Generator) -> list[BeforeAfter]:
    """Return the first of the images that it was judged by, which are of held-out prompts."""
    run, parent = tuned.run, tuned.parent
    if run is None or parent is None:
        return []

    def picture(number: int, side: Side, size: tuple[int, int], name: str, prompt: str) -> Picture:
        address = reverse("judged-image", args=[tuned.project.slug, run.pk, number, side])
        return Picture(address, *size, name, prompt)

    return [
        BeforeAfter(
            f"judged-{run.pk}-{number}",
            picture(number, "before", pair.before, parent.name, pair.prompt),
            picture(number, "after", pair.after, tuned.name, pair.prompt),
        )
        for number, pair in enumerate(read_judged(run.folder))
    ]


def sampled_pairs(tuned: Generator) -> list[BeforeAfter]:
    """Return the first samples of its run beside those of the update that was kept, or else of the last.

    Their prompts are the first that it is tuned on.
    """
    run, parent = tuned.run, tuned.parent
    steps, prompts = (grid_steps(run), grid_prompts(run)) if run else ([], [])
    if run is None or parent is None or len(steps) < 2 or steps[0] != 0 or not prompts:
        return []
    best = tuned.metrics.get("guards", {}).get("best")
    step = best if best and best in steps else steps[-1]
    name = tuned.name if step == best else f"after {step:,} updates"
    try:
        with (
            open_file(grid_file(run, 0)) as first,
            open_file(grid_file(run, step)) as last,
            Image.open(first),
            Image.open(last) as grid,
        ):
            size = cell_size(grid, len(prompts))
    except OSError:  # a file that is no image: the page opens without it
        return []

    def picture(step: int, place: int, name: str) -> Picture:
        address = reverse("sample-image", args=[tuned.project.slug, run.pk, step, place])
        return Picture(address, *size, name, prompts[place])

    return [
        BeforeAfter(
            f"sample-{run.pk}-{step}-{place}", picture(0, place, parent.name), picture(step, place, name)
        )
        for place in range(len(prompts))
    ]


def strips(generators: Sequence[Generator]) -> Mapping[int, list[Picture]]:
    """Return a few images of each generator by its id, of the same prompts where they were judged together.

    Of one that was not tuned they are those that its children were judged beside, else those it made for
    annotators.
    """
    pictures: dict[int, list[Picture]] = {}
    for generator in sorted(generators, key=lambda each: -each.pk):  # a parent's are its newest child's
        pairs = list(islice(pairs_of(generator), STRIP))
        if pairs:
            pictures[generator.pk] = [pair.after for pair in pairs]
            assert generator.parent_id is not None
            pictures.setdefault(generator.parent_id, [pair.before for pair in pairs])
    without = [generator for generator in generators if generator.pk not in pictures]
    for pk, images in images_by_generator(without, STRIP).items():
        pictures[pk] = [_generation(image) for image in images]
    return pictures


def _generation(generation: Generation) -> Picture:
    image = generation.image
    assert image is not None
    return Picture(
        reverse("thumbnail", args=[image.token]),
        image.width,
        image.height,
        generation.generator,
        generation.prompt.text,
        generation.is_harmful,  # type: ignore[attr-defined]
    )
