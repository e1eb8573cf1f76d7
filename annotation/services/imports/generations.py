"""Importing images with their prompts: a manifest, or folders of DiffusionDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.assignments import open_assignments
from annotation.services.images import CheckedImage, ImageRefused, check_image
from annotation.services.imports.rows import ImportRefused, Row, read_document, read_rows
from annotation.services.prompts import (
    ImagesRefused,
    NewImage,
    PromptChanged,
    add_prompts,
    attach_images,
)

SEEDS = -(2**63), 2**63 - 1
Progress = Callable[[int], object]


@dataclass(frozen=True)
class ImportedGenerations:
    """What is new. `left_out` are images of DiffusionDB prompts that have more than can be placed."""

    prompts: int
    images: int
    assignments: int
    left_out: int = 0


@dataclass(frozen=True)
class Wanted:
    """A prompt of the file with its images; `row` is where it stands."""

    row: Row
    key: str
    text: str
    images: list[NewImage]
    left_out: int = 0


def import_generations(
    *, project: Project, manifest: Path, open_slots: bool = True, progress: Progress | None = None
) -> ImportedGenerations:
    """Add the prompts and images of a manifest, or of DiffusionDB's part folders; all of them or none.

    Every image is decoded before the first is kept. What the project has already stays as it is.

    Args:
        manifest: a .jsonl file, its image paths relative to its folder; or a part-XXXXXX folder of
            DiffusionDB, or one that holds such folders.
        open_slots: ask for opinions on the prompts.
        progress: called with the number of images checked since the last call.
    Raises: ImportRefused.
    """
    read = _read_diffusiondb if manifest.is_dir() else _read_manifest
    wanted = list(read(project, manifest))
    if not wanted:
        raise ImportRefused(f"{manifest}: has no rows")
    checked = [(prompt, _check(prompt, progress)) for prompt in wanted]
    with transaction.atomic():
        rows = {prompt.key: prompt.row for prompt in wanted}
        try:
            prompts, new = add_prompts(project=project, texts={p.key: p.text for p in wanted})
        except PromptChanged as error:
            raise rows[error.key].refused(error) from None
        images = 0
        for prompt, files in checked:
            try:
                images += len(attach_images(prompt=prompts[prompt.key], images=files))
            except (ImageRefused, ImagesRefused) as error:
                raise prompt.row.refused(error) from None
        opened = open_assignments(prompts=prompts.values()) if open_slots else []
    return ImportedGenerations(new, images, len(opened), sum(prompt.left_out for prompt in wanted))


def _check(prompt: Wanted, progress: Progress | None) -> list[tuple[NewImage, CheckedImage]]:
    """Decode the prompt's images. Raises ImportRefused for a broken one, and for one picture twice."""
    files = []
    names: dict[str, str] = {}  # sha256 -> source
    for image in prompt.images:
        try:
            checked = check_image(image.content)
        except ImageRefused as error:
            raise prompt.row.refused(error) from None
        twin = names.setdefault(checked.sha256, image.source)
        if twin != image.source:
            raise prompt.row.refused(f"{image.source} is the same picture as {twin}")
        files.append((image, checked))
        if progress:
            progress(1)
    return files


def _read_manifest(project: Project, manifest: Path) -> Iterator[Wanted]:
    if manifest.suffix != ".jsonl":
        raise ImportRefused(f"{manifest}: is {'no .jsonl file' if manifest.exists() else 'missing'}")
    seen: dict[str, int] = {}
    for row in read_rows(manifest):
        row.check_names(required=["prompt_id", "prompt", "images"])
        key, text = row.text("prompt_id", longest=KEY_LENGTH), row.text("prompt")
        if seen.setdefault(key, row.number) != row.number:
            raise row.refused(f"id {key!r} was in row {seen[key]} already")
        listed = row.fields["images"]
        if not isinstance(listed, list):
            raise row.refused("'images' is no list")
        if len(listed) > (places := project.max_images):
            raise row.refused(f"{len(listed)} images are more than the {places} that can be placed")
        images = [_read_image(row, fields, manifest.parent) for fields in listed]
        names = [image.source for image in images]
        if repeated := [name for i, name in enumerate(names) if name in names[:i]]:
            raise row.refused(f"'images' has {repeated[0]!r} twice")
        yield Wanted(row, key, text, images)


def _read_image(row: Row, fields: object, folder: Path) -> NewImage:
    if not isinstance(fields, dict):
        raise row.refused("an image is no object")
    image = replace(row, fields=fields)
    image.check_names(required=["file"], optional=["generator", "seed", "parameters"])
    name = image.text("file", longest=SOURCE_LENGTH)
    return NewImage(
        content=image.inside(name, folder),
        source=name,
        generator=image.text("generator", longest=GENERATOR_LENGTH) if fields.get("generator") else "",
        seed=None if fields.get("seed") is None else image.integer("seed", low=SEEDS[0], high=SEEDS[1]),
        parameters=image.record("parameters"),
    )


def _read_diffusiondb(project: Project, folder: Path) -> Iterator[Wanted]:
    """Prompts of part-XXXXXX folders in the order of each one's JSON, with ids like the paper's 005658-0040.

    Of more images than can be placed, the first by file name are taken: the names are random.
    """
    parts = [folder] if folder.name.startswith("part-") else sorted(folder.glob("part-*"))
    if not parts:
        raise ImportRefused(f"{folder}: holds no part-XXXXXX folder")
    for part in parts:
        file = part / f"{part.name}.json"
        document = read_document(file)
        if not isinstance(document, dict):
            raise ImportRefused(f"{file}: is no object")
        by_text: dict[str, list[tuple[Row, NewImage]]] = {}
        for number, (name, fields) in enumerate(document.items(), 1):
            if not isinstance(fields, dict):
                raise ImportRefused(f"{file}, row {number}: is no object")
            row = Row(file, number, {"name": name, **fields})
            row.check_names(required=["name", "p"], optional=["se", "c", "st", "sa"])
            by_text.setdefault(row.text("p"), []).append((row, _read_diffusiondb_image(row, part)))
        for index, (text, images) in enumerate(by_text.items()):
            images.sort(key=lambda image: image[1].source)
            taken = [image for _, image in images[: project.max_images]]
            key = f"{part.name.removeprefix('part-')}-{index:04d}"
            yield Wanted(images[0][0], key, text, taken, len(images) - len(taken))


def _read_diffusiondb_image(row: Row, part: Path) -> NewImage:
    name = row.text("name", longest=SOURCE_LENGTH - len(part.name) - 1)
    settings = {"cfg": "c", "steps": "st", "sampler": "sa"}
    parameters = {ours: row.fields[theirs] for ours, theirs in settings.items() if theirs in row.fields}
    return NewImage(
        content=row.inside(name, part),
        source=f"{part.name}/{name}",
        generator="stable-diffusion",
        seed=row.integer("se", low=SEEDS[0], high=SEEDS[1]) if "se" in row.fields else None,
        parameters=replace(row, fields={"parameters": parameters}).record("parameters"),
    )
