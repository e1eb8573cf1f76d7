"""Reading a manifest, with one prompt and its images per line; and what every reader of images returns."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from annotation.models import Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats import refuse_rankings
from annotation.services.imports.rows import ImportRefused, Row, suffix_of
from annotation.services.imports.tables import read_rows
from annotation.services.projects.prompts import NewImage

SEEDS = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class PromptRecord:
    """A prompt of a file with its images; `row` is the first row with it."""

    row: Row
    key: str
    text: str
    images: list[NewImage]
    translation: str = ""
    is_sample: bool = False  # drawn from what people generated anywhere, not compiled for this purpose


@dataclass(frozen=True)
class ImportFile:
    """A file to read, and the prompts to read from it.

    Args:
        path: of a file or a folder.
        images: the folder that a file's image paths are relative to.
        texts: the requested prompts; None: all. A reader may skip others.
    """

    project: Project
    path: Path
    images: Path
    texts: Container[str] | None


@dataclass(frozen=True)
class GenerationReader:
    """How a format of prompts with images is read.

    Args:
        accepts: whether a file, or a folder, looks like this format.
        read: yields the prompts. Raises ImportRefused.
    """

    accepts: Callable[[Path], bool]
    read: Callable[[ImportFile], Iterator[PromptRecord]]


def read_manifest(file: ImportFile) -> Iterator[PromptRecord]:
    """Yield the prompts of the manifest. Raises: ImportRefused."""
    manifest = file.path
    if suffix_of(manifest) != ".jsonl":
        raise ImportRefused(f"{manifest}: is {'no .jsonl file' if manifest.exists() else 'missing'}")
    seen: dict[str, int] = {}
    for row in read_rows(manifest):
        refuse_rankings(row)
        row.check_names(required=["prompt_id", "prompt", "images"], optional=["translation"])
        key, text = row.text("prompt_id", longest=KEY_LENGTH), row.text("prompt")
        if seen.setdefault(key, row.number) != row.number:
            raise row.refused(f"id {key!r} was in row {seen[key]} already")
        entries = image_rows(row)
        if len(entries) > (places := file.project.max_images):
            raise row.refused(f"{len(entries)} images are more than the {places} that can be placed")
        images = [_read_image(entry, file.images) for entry in entries]
        names = [image.source for image in images]
        if duplicates := [name for i, name in enumerate(names) if name in names[:i]]:
            raise row.refused(f"'images' has {duplicates[0]!r} twice")
        yield PromptRecord(row, key, text, images, row.optional_text("translation"))


def image_rows(row: Row) -> list[Row]:
    """Return the images of a manifest's row, none where it has no such field. Raises: ImportRefused."""
    entries = row.fields.get("images", [])
    if not isinstance(entries, list):
        raise row.refused("'images' is no list")
    if not all(isinstance(fields, dict) for fields in entries):
        raise row.refused("an image is no object")
    images = [row.with_fields(fields) for fields in entries]
    for image in images:
        image.check_names(required=["file"], optional=["generator", "seed", "parameters", "flagged"])
    return images


def _read_image(image: Row, folder: Path) -> NewImage:
    name, fields = image.text("file", longest=SOURCE_LENGTH), image.fields
    return NewImage(
        content=image.inside(name, folder),
        source=name,
        generator=image.text("generator", longest=GENERATOR_LENGTH) if fields.get("generator") else "",
        seed=None if fields.get("seed") is None else image.integer("seed", low=SEEDS[0], high=SEEDS[1]),
        parameters=image.record("parameters"),
        is_flagged=image.flag("flagged"),
    )


MANIFEST = GenerationReader(accepts=lambda file: True, read=read_manifest)  # or refuses it by its suffix
