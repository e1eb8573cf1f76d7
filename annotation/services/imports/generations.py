"""Importing images with their prompts: a manifest, or DiffusionDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from annotation.models import Action, Project, User
from annotation.selectors.projects.selections import newest_selection
from annotation.services.actions import record_action
from annotation.services.assignments.assignments import open_assignments
from annotation.services.imports import diffusiondb
from annotation.services.imports.manifests import Wanted, read_manifest
from annotation.services.imports.rows import ImportRefused
from annotation.services.projects.images import CheckedImage, ImageRefused, check_image
from annotation.services.projects.prompts import (
    ImagesRefused,
    NewImage,
    PromptChanged,
    add_prompts,
    attach_images,
)

Progress = Callable[[int], object]


@dataclass(frozen=True)
class ImportedGenerations:
    """What is new. `passed_over` are prompts asked for that have too few images or none; `left_out` are
    images that the others have beyond those taken.
    """

    prompts: int
    images: int
    assignments: int
    passed_over: int = 0
    left_out: int = 0

    @property
    def summary(self) -> str:
        new = f"{self.prompts:,} prompts and {self.images:,} images new"
        return f"{new}; {self.assignments:,} assignments opened"


def import_generations(
    *,
    project: Project,
    manifest: Path,
    images: Path | None = None,
    chosen_only: bool = False,
    fewest: int = 0,
    most: int | None = None,
    open_slots: bool = True,
    progress: Progress | None = None,
    by: User | None = None,
) -> ImportedGenerations:
    """Add the prompts and images of a manifest, or of DiffusionDB; all of them or none.

    Every image is decoded before the first is kept. What the project has already stays as it is.

    Args:
        manifest: a .jsonl file; a part-XXXXXX folder of DiffusionDB, or one that holds such folders; or
            DiffusionDB's metadata .parquet.
        images: the folder to which a file's image paths are relative; None: its own.
        chosen_only: only prompts that the project's newest selection chose, told by their text.
        fewest: prompts with fewer images are passed over. The paper takes 4 to 9 (section 2.1).
        most: so many images of a prompt are taken, the first; None: as many as can be placed.
        open_slots: ask for opinions on the prompts.
        progress: called with the number of images checked since the last call.
        by: who asked, for the log; None for a command.
    Raises: ImportRefused.
    """
    chosen = _chosen(project) if chosen_only else None
    most = min(most or project.max_images, project.max_images)
    found = _together(_read(project, manifest, images or manifest.parent, chosen), chosen)
    if not found:
        raise ImportRefused(f"{manifest}: has no {'rows' if chosen is None else 'prompt that was chosen'}")
    wanted = [prompt for prompt in found if len(prompt.images) >= fewest]
    taken = [replace(prompt, images=prompt.images[:most]) for prompt in wanted]
    checked = [(prompt, _check(prompt, progress)) for prompt in taken]
    with transaction.atomic():
        rows = {prompt.key: prompt.row for prompt in wanted}
        try:
            prompts, new = add_prompts(
                project=project,
                texts={p.key: p.text for p in wanted},
                translations={p.key: p.translation for p in wanted if p.translation},
            )
        except PromptChanged as error:
            raise rows[error.key].refused(error) from None
        added = 0
        for prompt, files in checked:
            try:
                added += len(attach_images(prompt=prompts[prompt.key], images=files))
            except (ImageRefused, ImagesRefused) as error:
                raise prompt.row.refused(error) from None
        opened = open_assignments(prompts=prompts.values()) if open_slots else []
        if new or added or opened:
            record_action(
                Action.Kind.IMAGES_ADDED,
                project=project,
                by=by,
                subject=f"{added} images",
                prompts=new,
                opinions=len(opened),
                file=manifest.name,
            )
    passed_over = len(found if chosen is None else chosen) - len(wanted)
    left_out = sum(len(p.images) for p in wanted) - sum(len(files) for _, files in checked)
    return ImportedGenerations(new, added, len(opened), passed_over, left_out)


def _chosen(project: Project) -> dict[str, str]:
    """Text -> key of the prompts that the newest selection chose. Raises: ImportRefused without one."""
    selection = newest_selection(project)
    if selection is None:
        raise ImportRefused(f"{project.slug}: no prompts were selected")
    return dict(selection.chosen.values_list("prompt__text", "prompt__key"))


def _read(
    project: Project, manifest: Path, images: Path, chosen: Mapping[str, str] | None
) -> Iterator[Wanted]:
    if manifest.is_dir():
        return diffusiondb.read_folders(manifest)
    if manifest.suffix == ".parquet":
        return diffusiondb.read_table(manifest, images, texts=chosen)
    return read_manifest(project, manifest, images)


def _together(prompts: Iterator[Wanted], chosen: Mapping[str, str] | None) -> list[Wanted]:
    """The prompts that are asked for, under the project's ids where they were chosen.

    Of a chosen prompt's text there may be images under several ids: they are brought together.
    """
    found: dict[str, Wanted] = {}
    for prompt in prompts:
        key = prompt.key if chosen is None else chosen.get(prompt.text)
        if key is None:
            continue
        before = found[key].images if key in found else []
        found[key] = replace(prompt, key=key, images=[*before, *prompt.images])
    return list(found.values())


def _check(prompt: Wanted, progress: Progress | None) -> list[tuple[NewImage, CheckedImage]]:
    """Decode the prompt's images. Raises ImportRefused for a broken one, and for one picture twice.

    Of a sample the second is left out: people who asked for the same picture twice both got it.
    """
    files = []
    names: dict[str, str] = {}  # sha256 -> source
    for image in prompt.images:
        try:
            checked = check_image(image.content)
        except ImageRefused as error:
            raise prompt.row.refused(error) from None
        twin = names.setdefault(checked.sha256, image.source)
        if twin == image.source:
            files.append((image, checked))
        elif not prompt.is_sample:
            raise prompt.row.refused(f"{image.source} is the same picture as {twin}")
        if progress:
            progress(1)
    return files
