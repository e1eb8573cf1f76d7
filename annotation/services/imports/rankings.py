"""Importing rankings that people gave elsewhere, from every format that exports write."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import Action, Generation, Project, Prompt
from annotation.services.actions import record_action
from annotation.services.imports.answers import generation_ids, imported_annotator, record_answers
from annotation.services.imports.opinions import Opinion, read_opinions
from annotation.services.imports.ranked_images import (
    Packs,
    ShownImage,
    checked_images,
    find_images,
    refuse_missing,
)
from annotation.services.imports.rows import ImportRefused, batches
from annotation.services.projects.images import CheckedImage, ImageRefused
from annotation.services.projects.prompts import (
    ImagesRefused,
    NewImage,
    PromptChanged,
    add_prompts,
    attach_images,
)

STEP = 200  # rankings added at a time, where broken images are skipped
Progress = Callable[[int], object]
Files = dict[str, dict[str, CheckedImage]]  # prompt key -> source -> file


@dataclass(frozen=True)
class ImportedRankings:
    """What is new; `known` rankings were in the project before.

    `left_out` says of each image that is missing or broken why; its ranking came in without it.
    """

    rankings: int
    prompts: int
    images: int
    known: int
    left_out: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)  # rankings of the file in each published split


@dataclass
class _Tally:
    rankings: int = 0
    prompts: int = 0
    images: int = 0
    left_out: list[str] = field(default_factory=list)


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
    progress: Progress | None = None,
) -> ImportedRankings:
    """Add rankings with their prompts and images, as accepted answers; all or none.

    They are put down to "imported:FILE", or where the file tells people apart to "imported:FILE:ANNOTATOR".
    Slots are kept as given, images in the file's order.

    Args:
        file: what an export wrote, or others publish; tables of Pick-a-Pic and ImageRewardDB may be a folder.
        format: one of `opinions.READERS`; told by the fields of the first row when not given.
        images: the folder that image paths are relative to; the file's own when not given. Images that the
            project has already are not asked for.
        without_images: take the rankings alone; `import_generations` may bring the images later.
        skip_broken: where an image is missing, broken, or the same as another of its ranking, the ranking
            comes in without it: no dataset is made of such. Then what was added is kept every `STEP`
            rankings, and the same import, interrupted, goes on from there.
        split: train, validation or test, where the dataset is published in splits and the file does not
            say which it is. Datasets keep its prompts there.
        progress: called with the number of rankings added since the last call.
    Raises: ImportRefused.
    """
    reader, opinions = read_opinions(project, file, format)
    opinions = [_in_split(opinion, split) for opinion in opinions]
    folder = images or (file if file.is_dir() else file.parent)
    done = _Tally()
    with (
        tempfile.TemporaryDirectory(prefix="laurel-import-") as unpacked,
        closing(Packs(folder)) as packs,
    ):
        shown: list[ShownImage] = []
        if not without_images:
            shown = find_images(
                project=project,
                file=file,
                reader=reader,
                opinions=opinions,
                packs=packs,
                unpacked=Path(unpacked),
            )
        if not skip_broken:
            refuse_missing(file, folder, shown)
        waiting = {(image.opinion.key, image.source): image for image in shown}
        for part in batches(opinions, STEP if skip_broken else len(opinions)):
            shows = dict.fromkeys((opinion.key, source) for opinion in part for source in opinion.sources)
            wanted = [waiting.pop(image) for image in shows if image in waiting]
            _import_part(project, file, part, wanted, now, done, skip_broken, progress)
    splits = Counter(opinion.split for opinion in opinions if opinion.split)
    known = len(opinions) - done.rankings
    return ImportedRankings(done.rankings, done.prompts, done.images, known, tuple(done.left_out), splits)


def _in_split(opinion: Opinion, split: str) -> Opinion:
    """Raises: ImportRefused where the file names another."""
    if split and opinion.split not in ("", split):
        raise opinion.row.refused(f"is of the {opinion.split} split, as the file says, not of {split}")
    return replace(opinion, split=split) if split else opinion


def _import_part(
    project: Project,
    file: Path,
    opinions: list[Opinion],
    shown: list[ShownImage],
    now: datetime,
    done: _Tally,
    skip_broken: bool,
    progress: Progress | None,
) -> None:
    """Decode the images of these rankings, then add all of it in one transaction. Raises ImportRefused."""
    files = _decode(shown, done.left_out if skip_broken else None)
    by_annotator: dict[str, list[Opinion]] = {}
    for opinion in opinions:
        by_annotator.setdefault(opinion.annotator, []).append(opinion)
    with transaction.atomic():
        _hold_settings(project, file)
        prompts, new_prompts = _add_prompts(project, opinions)
        added = _add_generations(opinions, prompts, files, done.left_out if skip_broken else None)
        new = 0
        for name, theirs in by_annotator.items():
            annotator = imported_annotator(file, name)
            for batch in batches(theirs):
                new += record_answers(project, batch, prompts, annotator, now)
                if progress:
                    progress(len(batch))
        if new:
            said = {"prompts": new_prompts, "images": added, "file": file.name}
            record_action(
                Action.Kind.RANKINGS_ADDED, project=project, by=None, subject=f"{new} rankings", **said
            )
    done.rankings, done.prompts, done.images = (
        done.rankings + new,
        done.prompts + new_prompts,
        done.images + added,
    )


def _decode(shown: list[ShownImage], left_out: list[str] | None) -> Files:
    """What is broken is noted in `left_out`; without such a list it is refused: raises ImportRefused."""
    files: Files = {}
    for image, found in checked_images(shown):
        if isinstance(found, CheckedImage):
            files.setdefault(image.opinion.key, {})[image.source] = found
        elif left_out is None:
            raise image.opinion.row.refused(found)
        else:
            left_out.append(f"prompt {image.opinion.key}, {image.source}: {found}")
    return files


def _hold_settings(project: Project, file: Path) -> None:
    """Keep the slots as they were when the file was checked, to the end of this transaction.

    Raises: ImportRefused where an admin changed them meanwhile.
    """
    held = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if (held.slots, held.per_slot) != (project.slots, project.per_slot):
        raise ImportRefused(f"{file}: the project's slots were changed meanwhile; import it again")


def _add_prompts(project: Project, opinions: Iterable[Opinion]) -> tuple[dict[str, Prompt], int]:
    """Every prompt by its key, and how many are new."""
    known: dict[str, Prompt] = {}
    new = 0
    for batch in batches(opinions):
        try:
            prompts, added = add_prompts(
                project=project,
                texts={one.key: one.text for one in batch},
                splits={one.key: one.split for one in batch if one.split},
            )
        except PromptChanged as error:
            raise next(one.row for one in batch if one.key == error.key).refused(error) from None
        known |= prompts
        new += added
    return known, new


def _add_generations(
    opinions: Iterable[Opinion], prompts: dict[str, Prompt], files: Files, left_out: list[str] | None
) -> int:
    """Add the images, with their files where there are some; returns how many are new.

    A picture that is there twice is noted in `left_out`; without such a list it is refused: ImportRefused.
    """
    added = 0
    for batch in batches(opinions):
        for opinion in batch:
            brought = files.get(opinion.key, {})
            new = [
                (NewImage(checked.source, source, opinion.generator_of(source)), checked)
                for source, checked in brought.items()
                if source in opinion.sources
            ]
            try:
                added += len(attach_images(prompt=prompts[opinion.key], images=new)) if new else 0
            except (ImageRefused, ImagesRefused) as error:
                if left_out is None:
                    raise opinion.row.refused(error) from None
                added += _attach_singly(prompts[opinion.key], new, left_out)
        had = generation_ids(batch, prompts)
        wanted = {
            (prompts[opinion.key], source): opinion.generator_of(source)
            for opinion in batch
            for source in opinion.sources
        }
        added += len(
            Generation.objects.bulk_create(
                Generation(prompt=prompt, source=source, generator=generator)
                for (prompt, source), generator in wanted.items()
                if (prompt.pk, source) not in had
            )
        )
    return added


def _attach_singly(
    prompt: Prompt, images: Iterable[tuple[NewImage, CheckedImage]], left_out: list[str]
) -> int:
    """Add those that can be, note the others; returns how many were added."""
    added = 0
    for image in images:
        try:
            added += len(attach_images(prompt=prompt, images=[image]))
        except (ImageRefused, ImagesRefused) as error:
            left_out.append(f"prompt {prompt.key}, {image[0].source}: {error}")
    return added
