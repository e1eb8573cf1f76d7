"""Importing images with their prompts: a manifest, or DiffusionDB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import transaction

from annotation.models import Action, Project, Prompt, User
from annotation.selectors.projects.selections import newest_selection
from annotation.services.actions import record_action
from annotation.services.assignments.assignments import open_assignments
from annotation.services.imports.diffusiondb import FOLDERS, TABLE
from annotation.services.imports.manifests import MANIFEST, ImportFile, PromptRecord
from annotation.services.imports.rows import ImportRefused
from annotation.services.projects.images import CheckedImage, ImageRefused, check_image, store_images
from annotation.services.projects.prompts import (
    ImagesRefused,
    NewImage,
    PromptRefused,
    add_prompts,
    attach_images,
    check_texts,
    missing_images,
)

READERS = (FOLDERS, TABLE, MANIFEST)  # the first that accepts the file reads it
Progress = Callable[[int], object]
CheckedPrompt = tuple[PromptRecord, list[tuple[NewImage, CheckedImage]]]


@dataclass(frozen=True)
class ImportedGenerations:
    """Numbers of rows added. `passed_over` are requested prompts with too few images or none; `left_out` are
    images of the other prompts in excess of `most`.
    """

    prompts: int
    images: int
    assignments: int
    passed_over: int = 0
    left_out: int = 0

    @property
    def summary(self) -> str:
        rows = f"{self.prompts:,} prompts and {self.images:,} images new"
        return f"{rows}; {self.assignments:,} assignments opened"


def import_generations(
    *,
    project: Project,
    manifest: Path,
    images: Path | None = None,
    chosen_only: bool = False,
    fewest: int = 0,
    most: int | None = None,
    with_assignments: bool = True,
    progress: Progress | None = None,
    by: User | None = None,
) -> ImportedGenerations:
    """Add the prompts and images of a manifest, or of DiffusionDB; all of them or none.

    1. Read the file, decode its images (`check_generations`) and store their files.
    2. In one transaction, add what the project lacks, and ask for opinions (`add_checked_generations`).

    Args:
        manifest: a .jsonl file; a part-XXXXXX folder of DiffusionDB, or a folder of those; or DiffusionDB's
            metadata .parquet.
        images: the folder to which a file's image paths are relative; None: its own.
        chosen_only: only prompts that the project's newest selection chose, recognized by their text.
        fewest: prompts with fewer images are passed over. The paper takes 4 to 9 (section 2.1).
        most: take at most this many images of a prompt, the first; None: as many as can be placed.
        with_assignments: open assignments for the prompts.
        progress: called with the number of images checked since the last call.
        by: who asked, for the log; None for a command.
    Raises: ImportRefused.
    """
    checked = check_generations(
        project=project,
        manifest=manifest,
        images=images,
        chosen_only=chosen_only,
        fewest=fewest,
        most=most,
        progress=progress,
    )
    checked.store()
    return add_checked_generations(checked, file_name=manifest.name, with_assignments=with_assignments, by=by)


@dataclass(frozen=True)
class CheckedGenerations:
    """What a file adds to a project, read and decoded: nothing of it is written yet.

    Attributes:
        passed_over, left_out: as `ImportedGenerations` has them.
    """

    project: Project
    prompts: list[CheckedPrompt]
    passed_over: int
    left_out: int

    def store(self, on_stored: Callable[[], object] | None = None) -> None:
        """Store the images' files, with which nobody has to wait for what `add_checked_generations` locks.

        A file that no prompt has in the end is harmless: the same import, tried again, finds it.

        Args: on_stored: called after each prompt's.
        Raises: ImportRefused for a file that changed, and for what the project cannot take as it is now.
        """
        self._check()
        for prompt, images in self.prompts:
            try:
                store_images(checked for _, checked in images)
            except ImageRefused as error:
                raise prompt.row.refused(error) from None
            if on_stored:
                on_stored()

    def _check(self) -> None:
        """Raises: ImportRefused for what the project cannot take: so that no files are stored for nothing."""
        records = [record for record, _ in self.prompts]
        try:
            known_prompts = check_texts(
                project=self.project, texts=_texts(records), translations=_translations(records)
            )
        except PromptRefused as error:
            raise _refused(records, error) from None
        for record, images in self.prompts:
            if record.key in known_prompts:
                try:
                    missing_images(
                        images,
                        known=known_prompts[record.key].generations.all(),
                        most=self.project.max_images,
                    )
                except ImagesRefused as error:
                    raise record.row.refused(error) from None


def check_generations(
    *,
    project: Project,
    manifest: Path,
    images: Path | None = None,
    chosen_only: bool = False,
    fewest: int = 0,
    most: int | None = None,
    progress: Progress | None = None,
) -> CheckedGenerations:
    """Read the prompts asked for, pass over those with too few images, decode the first of the others'.

    Args: as of `import_generations`.
    Raises: ImportRefused.
    """
    keys = _chosen_prompts(project) if chosen_only else None
    prompts = _read_prompts(ImportFile(project, manifest, images or manifest.parent, keys), keys)
    sufficient = [prompt for prompt in prompts if len(prompt.images) >= fewest]
    most = min(most or project.max_images, project.max_images)
    checked = [(prompt, _check(prompt, prompt.images[:most], progress)) for prompt in sufficient]
    passed_over = len(prompts if keys is None else keys) - len(sufficient)
    left_out = sum(len(prompt.images) - len(taken_images) for prompt, taken_images in checked)
    return CheckedGenerations(project, checked, passed_over, left_out)


def _chosen_prompts(project: Project) -> dict[str, str]:
    """Return text -> key of the prompts of the newest selection. Raises: ImportRefused without one."""
    selection = newest_selection(project)
    if selection is None:
        raise ImportRefused(f"{project.slug}: no prompts were selected")
    return dict(selection.chosen.values_list("prompt__text", "prompt__key"))


def _read_prompts(file: ImportFile, chosen_keys: Mapping[str, str] | None) -> list[PromptRecord]:
    """Return the requested prompts, under the project's keys where they were chosen.

    A chosen prompt's text may have images under several keys of the file: these are merged.

    Raises: ImportRefused, also when no prompt matches.
    """
    reader = next(reader for reader in READERS if reader.accepts(file.path))
    prompts: dict[str, PromptRecord] = {}
    for prompt in reader.read(file):
        key = prompt.key if chosen_keys is None else chosen_keys.get(prompt.text)
        if key is None:
            continue
        earlier_images = prompts[key].images if key in prompts else []
        prompts[key] = replace(prompt, key=key, images=[*earlier_images, *prompt.images])
    if not prompts:
        missing = "rows" if chosen_keys is None else "prompt that was chosen"
        raise ImportRefused(f"{file.path}: has no {missing}")
    return list(prompts.values())


def _check(
    prompt: PromptRecord, images: Iterable[NewImage], progress: Progress | None
) -> list[tuple[NewImage, CheckedImage]]:
    """Decode the prompt's images. Raises: ImportRefused for a broken or a duplicate one.

    In a sample, duplicates are left out: the generator was asked for the same picture twice.
    """
    checked_images = []
    sources: dict[str, str] = {}  # by sha256
    for image in images:
        try:
            checked = check_image(image.content)
        except ImageRefused as error:
            raise prompt.row.refused(error) from None
        twin = sources.setdefault(checked.sha256, image.source)
        if twin == image.source:
            checked_images.append((image, checked))
        elif not prompt.is_sample:
            raise prompt.row.refused(f"{image.source} is the same picture as {twin}")
        if progress:
            progress(1)
    return checked_images


@transaction.atomic
def add_checked_generations(
    *files: CheckedGenerations,
    file_name: str,
    with_assignments: bool = True,
    on_prompt: Callable[[], object] | None = None,
    by: User | None = None,
) -> ImportedGenerations:
    """Add prompts and images of files of one project, then open assignments, and log it.

    Args:
        file_name: of what was sent, a .zip say, for the log.
        on_prompt: called before each prompt.
        with_assignments, by: as of `import_generations`.
    Raises: ImportRefused.
    """
    project = files[0].project
    prompts: dict[str, Prompt] = {}
    new_prompts = added = 0
    for file in files:
        its_prompts, new = _add_prompts(project, [prompt for prompt, _ in file.prompts])
        prompts |= its_prompts
        new_prompts += new
        for prompt, images in file.prompts:
            if on_prompt:
                on_prompt()
            try:
                added += len(attach_images(prompt=its_prompts[prompt.key], images=images))
            except (ImageRefused, ImagesRefused) as error:
                raise prompt.row.refused(error) from None
    # Last, for it locks the project.
    opened = open_assignments(prompts=prompts.values()) if with_assignments else []
    if new_prompts or added or opened:
        record_action(
            Action.Kind.IMAGES_ADDED,
            project=project,
            by=by,
            subject=f"{added} images",
            prompt_ids=(prompt.pk for prompt in prompts.values()),
            prompts=new_prompts,
            opinions=len(opened),
            file=file_name,
        )
    return ImportedGenerations(
        new_prompts,
        added,
        len(opened),
        passed_over=sum(file.passed_over for file in files),
        left_out=sum(file.left_out for file in files),
    )


def _add_prompts(project: Project, records: list[PromptRecord]) -> tuple[dict[str, Prompt], int]:
    """Return the prompts by key, and how many are new. Raises: ImportRefused."""
    try:
        return add_prompts(project=project, texts=_texts(records), translations=_translations(records))
    except PromptRefused as error:
        raise _refused(records, error) from None


def _texts(records: list[PromptRecord]) -> dict[str, str]:
    return {record.key: record.text for record in records}


def _translations(records: list[PromptRecord]) -> dict[str, str]:
    return {record.key: record.translation for record in records if record.translation}


def _refused(records: list[PromptRecord], error: PromptRefused) -> ImportRefused:
    return next(record.row for record in records if record.key == error.key).refused(error)
