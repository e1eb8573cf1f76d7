"""Importing rankings that people gave elsewhere, from every format that exports write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import (
    Action,
    Assignment,
    Generation,
    Placement,
    Project,
    Prompt,
    PromptLabel,
    Ranking,
    Rating,
    User,
)
from annotation.models.judgements import SCALES
from annotation.models.people import IMPORTED
from annotation.services.actions import record_action
from annotation.services.images import CheckedImage, ImageRefused, check_image
from annotation.services.imports.opinions import Opinion, Reader, read_opinions
from annotation.services.imports.opinions.opinion import ANNOTATOR_LENGTH
from annotation.services.imports.rows import ImportRefused, batches
from annotation.services.prompts import (
    ImagesRefused,
    NewImage,
    PromptChanged,
    add_prompts,
    attach_images,
)

NAMED = 3  # missing files that a refusal names
Progress = Callable[[int], object]
Files = dict[str, dict[str, CheckedImage]]  # prompt key -> source -> file


@dataclass(frozen=True)
class ImportedRankings:
    """What is new; `known` rankings were in the project before."""

    rankings: int
    prompts: int
    images: int
    known: int


def import_rankings(
    *,
    project: Project,
    file: Path,
    now: datetime,
    format: str | None = None,
    images: Path | None = None,
    without_images: bool = False,
    progress: Progress | None = None,
) -> ImportedRankings:
    """Add rankings with their prompts and images, as accepted answers; all or none.

    They are put down to "imported:FILE", or where the file tells people apart to "imported:FILE:ANNOTATOR".
    Slots are kept as given, images in the file's order.

    Args:
        file: what an export wrote, or others publish; Pick-a-Pic's tables may be a folder of them.
        format: one of `opinions.READERS`; told by the fields of the first row when not given.
        images: the folder that image paths are relative to; the file's own when not given. Images that the
            project has already are not asked for.
        without_images: take the rankings alone; `import_generations` may bring the images later.
        progress: called with the number of rankings added since the last call.
    Raises: ImportRefused.
    """
    reader, opinions = read_opinions(project, file, format)
    by_annotator: dict[str, list[Opinion]] = {}
    for opinion in opinions:
        by_annotator.setdefault(opinion.annotator, []).append(opinion)
    folder = images or file.parent
    with tempfile.TemporaryDirectory(prefix="laurel-import-") as unpacked:
        files = (
            {} if without_images else _find_images(project, file, reader, opinions, folder, Path(unpacked))
        )
        with transaction.atomic():
            _hold_settings(project, file)
            prompts, new_prompts = _add_prompts(project, opinions)
            added = _add_generations(opinions, prompts, files)
            new = 0
            for name, theirs in by_annotator.items():
                annotator = _imported_annotator(file, name)
                for batch in batches(theirs):
                    new += _record(project, batch, prompts, annotator, now)
                    if progress:
                        progress(len(batch))
            if new:
                said = {"prompts": new_prompts, "images": added, "file": file.name}
                record_action(
                    Action.Kind.RANKINGS_ADDED, project=project, by=None, subject=f"{new} rankings", **said
                )
    return ImportedRankings(new, new_prompts, added, len(opinions) - new)


def _hold_settings(project: Project, file: Path) -> None:
    """Keep the slots as they were when the file was checked, to the end of this transaction.

    Raises: ImportRefused where an admin changed them meanwhile.
    """
    held = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if (held.slots, held.per_slot) != (project.slots, project.per_slot):
        raise ImportRefused(f"{file}: the project's slots were changed meanwhile; import it again")


def _find_images(
    project: Project, file: Path, reader: Reader, opinions: list[Opinion], folder: Path, unpacked: Path
) -> Files:
    """Decode every image that the project does not have. Raises ImportRefused."""
    had = set(
        Generation.objects.filter(prompt__project=project, image__isnull=False).values_list(
            "prompt__key", "source"
        )
    )
    named: dict[tuple[str, str], tuple[Opinion, str]] = {}  # several opinions show the same image
    for opinion in opinions:
        for source in opinion.sources:
            name = opinion.file_of(source)
            if name is not None and (opinion.key, source) not in had:
                opinion.row.inside(name, folder)
                named.setdefault((opinion.key, source), (opinion, name))
    names = sorted({name for _, name in named.values()})
    nowhere = reader.unpack(file, folder, names, unpacked) if reader.unpack else set()
    wanted = []
    for (_, source), (opinion, name) in named.items():
        if name not in nowhere:
            inside = unpacked / name
            wanted.append((opinion, source, inside if inside.exists() else opinion.row.inside(name, folder)))
    return _check_images(file, folder, wanted)


def _check_images(file: Path, folder: Path, wanted: list[tuple[Opinion, str, Path]]) -> Files:
    """Decode the images. Raises ImportRefused saying how many are missing."""
    missing = [source for _, source, path in wanted if not os.path.isfile(path)]
    if missing:
        raise ImportRefused(
            f"{file}: {len(missing):,} of {len(wanted):,} image files are missing in {folder}: "
            f"{', '.join(missing[:NAMED])}{' ...' if len(missing) > NAMED else ''} "
            "(--without-images takes the rankings alone)"
        )
    files: Files = {}
    for opinion, source, path in wanted:
        try:
            files.setdefault(opinion.key, {})[source] = check_image(path)
        except ImageRefused as error:
            raise opinion.row.refused(error) from None
    return files


def _add_prompts(project: Project, opinions: Iterable[Opinion]) -> tuple[dict[str, Prompt], int]:
    """Every prompt by its key, and how many are new."""
    known: dict[str, Prompt] = {}
    new = 0
    for batch in batches(opinions):
        try:
            prompts, added = add_prompts(project=project, texts={one.key: one.text for one in batch})
        except PromptChanged as error:
            raise next(one.row for one in batch if one.key == error.key).refused(error) from None
        known |= prompts
        new += added
    return known, new


def _add_generations(opinions: Iterable[Opinion], prompts: dict[str, Prompt], files: Files) -> int:
    """Add the images, with their files where there are some; returns how many are new."""
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
                raise opinion.row.refused(error) from None
        had = _generations(batch, prompts)
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


def _generations(batch: Iterable[Opinion], prompts: dict[str, Prompt]) -> dict[tuple[int, str], int]:
    """(prompt id, source) -> generation id."""
    rows = Generation.objects.filter(prompt__in=[prompts[opinion.key].pk for opinion in batch])
    return {(prompt, source): pk for prompt, source, pk in rows.values_list("prompt_id", "source", "pk")}


def _imported_annotator(file: Path, name: str) -> User:
    """Whom the file's answers are put down to: nobody can sign in as them."""
    longest = User._meta.get_field("username").max_length or 0
    whole = f"{IMPORTED}{file.stem}"
    username = f"{whole[: longest - ANNOTATOR_LENGTH - 1]}:{name}" if name else whole[:longest]
    user, made = User.objects.get_or_create(username=username, defaults={"is_active": False})
    if made:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


def _record(
    project: Project, batch: list[Opinion], prompts: dict[str, Prompt], annotator: User, now: datetime
) -> int:
    """Add the answers that are not there yet; returns how many. Raises ImportRefused for one that differs."""
    ids = _generations(batch, prompts)
    orders = {
        opinion.key: [ids[prompts[opinion.key].pk, source] for source in opinion.sources] for opinion in batch
    }
    recorded = _recorded(annotator, [prompts[opinion.key] for opinion in batch])
    for opinion in batch:
        placed = dict(zip(orders[opinion.key], opinion.slots, strict=True))
        if recorded.get(prompts[opinion.key].pk, placed) != placed:
            raise opinion.row.refused(f"another ranking of {opinion.key!r} is known from {annotator}")
    new = [opinion for opinion in batch if prompts[opinion.key].pk not in recorded]
    assignments = Assignment.objects.bulk_create(
        Assignment(
            project=project,
            prompt=prompts[opinion.key],
            annotator=annotator,
            state=Assignment.State.ACCEPTED,
            leased_until=now,
            order=orders[opinion.key],
            submitted_at=now,
            accepted_at=now,
        )
        for opinion in new
    )
    rankings = Ranking.objects.bulk_create(Ranking(assignment=assignment) for assignment in assignments)
    Placement.objects.bulk_create(
        Placement(ranking=ranking, generation_id=pk, slot=slot)
        for ranking, opinion in zip(rankings, new, strict=True)
        for pk, slot in zip(orders[opinion.key], opinion.slots, strict=True)
    )
    PromptLabel.objects.bulk_create(
        PromptLabel(
            assignment=assignment,
            category=opinion.category,
            intent_unclear=opinion.intent_unclear,
            issues=opinion.issues,
        )
        for assignment, opinion in zip(assignments, new, strict=True)
        if opinion.category
    )
    Rating.objects.bulk_create(
        Rating(
            assignment=assignment,
            generation_id=pk,
            problems=problems,
            **dict(zip(SCALES, stars, strict=True)),
        )
        for assignment, opinion in zip(assignments, new, strict=True)
        if opinion.ratings
        for pk, stars, problems in zip(
            orders[opinion.key],
            opinion.ratings,
            opinion.problems or [None] * len(opinion.ratings),
            strict=True,
        )
    )
    return len(new)


def _recorded(annotator: User, prompts: list[Prompt]) -> dict[int, dict[int, int]]:
    """Prompt id -> generation id -> slot, of this annotator's answers."""
    slots: dict[int, dict[int, int]] = {}
    rows = Placement.objects.filter(
        ranking__assignment__annotator=annotator, ranking__assignment__prompt__in=prompts
    )
    for prompt, generation, slot in rows.values_list("ranking__assignment__prompt", "generation", "slot"):
        slots.setdefault(prompt, {})[generation] = slot
    return slots
