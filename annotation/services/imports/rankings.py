"""Importing rankings collected elsewhere, from every format that exports write."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import Action, Generation, Project, Prompt
from annotation.services.actions import record_action
from annotation.services.imports.formats import read_rankings
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.judgements import generation_ids, imported_annotator, record_judgements
from annotation.services.imports.ranked_images import (
    NewImageFile,
    Packs,
    checked_images,
    find_images,
    refuse_missing,
)
from annotation.services.imports.rows import ImportRefused, batches
from annotation.services.projects.images import CheckedImage, ImageRefused
from annotation.services.projects.prompts import (
    ImagesRefused,
    NewImage,
    PromptRefused,
    add_prompts,
    attach_images,
    lock_prompts,
)

STEP = 200  # rankings added at a time, where broken images are skipped
ImageFiles = dict[tuple[str, str], NewImageFile]  # by prompt key and source
CheckedFiles = dict[str, dict[str, CheckedImage]]  # by prompt key, by source


@dataclass(frozen=True)
class ImportedRankings:
    """Numbers of rows added; `known` rankings were already in the project.

    `left_out` has the reason for each image that is missing or broken; its ranking was imported without it.
    """

    rankings: int
    prompts: int
    images: int
    known: int
    left_out: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)  # rankings of the file in each published split


@dataclass
class _Import:
    """An import in progress, with the numbers of rows added so far."""

    project: Project
    file: Path
    now: datetime
    skip_broken: bool
    progress: Callable[[int], object] | None
    rankings: int = 0
    prompts: int = 0
    images: int = 0
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, record: RankingRecord, source: str, refusal: Exception) -> None:
        """Note an image that cannot be imported. Raises: ImportRefused unless such images are skipped."""
        if not self.skip_broken:
            raise record.row.refused(refusal) from None
        self.left_out.append(f"prompt {record.key}, {source}: {refusal}")

    def result(self, records: list[RankingRecord]) -> ImportedRankings:
        """Args: records: all of the file."""
        splits = Counter(record.split for record in records if record.split)
        known = len(records) - self.rankings
        return ImportedRankings(self.rankings, self.prompts, self.images, known, tuple(self.left_out), splits)


def import_rankings(
    *,
    project: Project,
    file: Path,
    now: datetime,
    format: str | None = None,
    images: Path | None = None,
    without_images: bool = False,
    skip_broken: bool = False,
    split: str = "",
    progress: Callable[[int], object] | None = None,
) -> ImportedRankings:
    """Add rankings with their prompts and images, as accepted answers; all or none.

    1. Read and check the file's rankings (`read_rankings`).
    2. Find the files of the images that the project does not have (`_find_images`).
    3. Decode the images, then add everything in one transaction (`_import_part`).

    They are attributed to "imported:FILE", or to "imported:FILE:ANNOTATOR" where the file says who it was.

    Args:
        file: of an export or a published dataset; tables of Pick-a-Pic and ImageRewardDB may be a folder.
        format: a name of `formats.READERS`; None: recognized by the fields of the first row.
        images: the folder that image paths are relative to; None: the file's.
        without_images: take the rankings alone; `import_generations` may bring the images later.
        skip_broken: import a ranking without its missing, broken and repeated images; it is not used
            in datasets. Step 3 is then done, and can be resumed, for `STEP` rankings at a time.
        split: train, validation or test, the published split where the file does not say it.
        progress: called with the number of rankings added since the last call.
    Raises: ImportRefused.
    """
    reader, records = read_rankings(project, file, format)
    records = [_in_split(record, split) for record in records]
    folder = images or (file if file.is_dir() else file.parent)
    state = _Import(project, file, now, skip_broken, progress)
    with _find_images(state, reader, records, None if without_images else folder) as image_files:
        for part in batches(records, STEP if skip_broken else len(records)):
            _import_part(state, part, image_files)
    return state.result(records)


def _in_split(record: RankingRecord, split: str) -> RankingRecord:
    """Return the record in the split. Raises: ImportRefused where the file names another."""
    if split and record.split not in ("", split):
        raise record.row.refused(f"is of the {record.split} split, as the file says, not of {split}")
    return replace(record, split=split) if split else record


@contextmanager
def _find_images(
    state: _Import, reader: Reader, records: list[RankingRecord], folder: Path | None
) -> Iterator[ImageFiles]:
    """Provide the images that the project does not have; archives stay open while the block runs.

    Args: folder: to which their paths are relative; None: without images.
    Raises: ImportRefused, also for missing files unless they are skipped.
    """
    if folder is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="laurel-import-") as unpacked, closing(Packs(folder)) as packs:
        images = find_images(
            project=state.project,
            file=state.file,
            reader=reader,
            records=records,
            packs=packs,
            unpacked=Path(unpacked),
        )
        if not state.skip_broken:
            refuse_missing(state.file, folder, images)
        yield {(image.record.key, image.source): image for image in images}


def _import_part(state: _Import, records: list[RankingRecord], image_files: ImageFiles) -> None:
    """Decode the images of these rankings, then add everything in one transaction.

    Args: image_files: of all rankings; those of these records are taken out.
    Raises: ImportRefused.
    """
    files = _decode(state, _take_images(records, image_files))
    by_annotator: dict[str, list[RankingRecord]] = {}
    for record in records:
        by_annotator.setdefault(record.annotator, []).append(record)
    with transaction.atomic():
        _lock_settings(state)
        prompts, new_prompts = _add_prompts(state.project, records)
        new_images = _add_images(state, records, prompts, files)
        new_rankings = 0
        for name, annotator_records in by_annotator.items():
            annotator = imported_annotator(state.file, name)
            for batch in batches(annotator_records):
                new_rankings += record_judgements(state.project, batch, prompts, annotator, state.now)
                if state.progress:
                    state.progress(len(batch))
        if new_rankings:
            details = {"prompts": new_prompts, "images": new_images, "file": state.file.name}
            record_action(
                Action.Kind.RANKINGS_ADDED,
                project=state.project,
                by=None,
                subject=f"{new_rankings} rankings",
                prompt_ids=(prompt.pk for prompt in prompts.values()),
                **details,
            )
    state.rankings += new_rankings
    state.prompts += new_prompts
    state.images += new_images


def _take_images(records: list[RankingRecord], image_files: ImageFiles) -> list[NewImageFile]:
    """Remove the images of these records from `image_files` and return them."""
    keys = dict.fromkeys((record.key, source) for record in records for source in record.sources)
    return [image_files.pop(key) for key in keys if key in image_files]


def _decode(state: _Import, images: list[NewImageFile]) -> CheckedFiles:
    """Decode the images. Raises: ImportRefused for a missing or broken one unless these are skipped."""
    files: CheckedFiles = {}
    for image, checked in checked_images(images):
        if isinstance(checked, CheckedImage):
            files.setdefault(image.record.key, {})[image.source] = checked
        else:
            state.leave_out(image.record, image.source, checked)
    return files


def _lock_settings(state: _Import) -> None:
    """Keep slots and axes as they were when the file was checked, until the transaction ends.

    Raises: ImportRefused where an admin has changed them since.
    """
    lock_prompts(state.project)
    project = Project.objects.select_for_update(no_key=True).get(pk=state.project.pk)
    if any(getattr(project, name) != getattr(state.project, name) for name in ("slots", "per_slot", "axes")):
        raise ImportRefused(
            f"{state.file}: the project's slots or axes were changed meanwhile; import it again"
        )


def _add_prompts(project: Project, records: Iterable[RankingRecord]) -> tuple[dict[str, Prompt], int]:
    """Return every prompt by its key, and how many are new. Raises: ImportRefused."""
    prompts: dict[str, Prompt] = {}
    new_prompts = 0
    for batch in batches(records):
        try:
            batch_prompts, added = add_prompts(
                project=project,
                texts={record.key: record.text for record in batch},
                splits={record.key: record.split for record in batch if record.split},
            )
        except PromptRefused as error:
            raise next(record.row for record in batch if record.key == error.key).refused(error) from None
        prompts |= batch_prompts
        new_prompts += added
    return prompts, new_prompts


def _add_images(
    state: _Import, records: Iterable[RankingRecord], prompts: dict[str, Prompt], files: CheckedFiles
) -> int:
    """Add the images, with their files where there are any; return how many are new.

    Raises: ImportRefused for a picture that is repeated, unless such images are skipped.
    """
    added = 0
    for batch in batches(records):
        for record in batch:
            added += _attach_files(state, record, prompts[record.key], files.get(record.key, {}))
        added += _add_without_files(batch, prompts)
    return added


def _attach_files(
    state: _Import, record: RankingRecord, prompt: Prompt, files: Mapping[str, CheckedImage]
) -> int:
    """Add the images of a record that have files; one by one if they are refused together."""
    images = [
        (NewImage(checked.source, source, record.generator_of(source)), checked)
        for source, checked in files.items()
        if source in record.sources
    ]
    try:
        return len(attach_images(prompt=prompt, images=images)) if images else 0
    except (ImageRefused, ImagesRefused) as error:
        if not state.skip_broken:
            raise record.row.refused(error) from None
    added = 0
    for image in images:
        try:
            added += len(attach_images(prompt=prompt, images=[image]))
        except (ImageRefused, ImagesRefused) as error:
            state.leave_out(record, image[0].source, error)
    return added


def _add_without_files(batch: list[RankingRecord], prompts: dict[str, Prompt]) -> int:
    """Add the other images of the records, which have no file."""
    known_ids = generation_ids(batch, prompts)
    generators = {
        (prompts[record.key], source): record.generator_of(source)
        for record in batch
        for source in record.sources
    }
    return len(
        Generation.objects.bulk_create(
            Generation(prompt=prompt, source=source, generator=generator)
            for (prompt, source), generator in generators.items()
            if (prompt.pk, source) not in known_ids
        )
    )
