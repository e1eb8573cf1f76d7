"""Importing rankings collected elsewhere, from every format that exports write."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import Action, Generation, Project, Prompt, User
from annotation.services.actions import record_action
from annotation.services.imports.formats import MOST_BYTES, read_rankings
from annotation.services.imports.formats.pictures import PictureFolder
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.judgements import (
    imported_annotator,
    imported_name,
    record_judgements,
    refuse_changed,
)
from annotation.services.imports.ranked_images import (
    CheckedFiles,
    NewImageFile,
    Packs,
    add_images,
    checked_images,
    find_images,
    new_files,
    refuse_missing,
)
from annotation.services.imports.rows import ImportRefused, batches
from annotation.services.projects.images import CheckedImage, ImageRefused, store_images
from annotation.services.projects.prompts import (
    ImagesRefused,
    PromptRefused,
    add_prompts,
    check_texts,
    lock_prompts,
    missing_images,
)

STEP = 200  # rankings added at a time, where broken images are skipped
NAMED = 3  # images left out that a summary names
SETTINGS = ("slots", "per_slot", "axes")  # of the project, by which rankings are checked
Progress = Callable[[int], object]


@dataclass(frozen=True)
class RankingOptions:
    """What an import is told beside its file.

    Args:
        format: a name of `formats.READERS`; "": recognized by the fields of the first row.
        split: train, validation or test, the published split where the file does not say it.
        without_images: take the rankings alone; `import_generations` may bring the images later.
        skip_broken: import a ranking without its missing, broken and repeated images; it is not used
            in datasets.
    """

    format: str = ""
    split: str = ""
    without_images: bool = False
    skip_broken: bool = False


@dataclass(frozen=True)
class ImportedRankings:
    """Numbers of rows added; `known` rankings were already in the project.

    `left_out` has the reason for each image that is missing or broken, or has no picture, as the file itself
    says; its ranking was imported without it.
    `passed_over` prompts of the file have one image each, which is no ranking.
    """

    rankings: int
    prompts: int
    images: int
    known: int
    left_out: tuple[str, ...] = ()
    splits: Mapping[str, int] = field(default_factory=dict)  # rankings of the file in each published split
    passed_over: int = 0

    @property
    def counts(self) -> str:
        rankings = f"{self.rankings:,} rankings new, {self.known:,} known already"
        alone = f"; {self.passed_over:,} prompts with one image passed over" if self.passed_over else ""
        return f"{rankings}; {self.prompts:,} prompts and {self.images:,} images new{alone}"

    @property
    def summary(self) -> str:
        """The counts, and what was left out, of which the first few images are named."""
        if not self.left_out:
            return self.counts
        more = " ..." if len(self.left_out) > NAMED else ""
        return (
            f"{self.counts}; {len(self.left_out):,} images left out: {'; '.join(self.left_out[:NAMED])}{more}"
        )


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

    1. Read and check the file's rankings, and find the images that the project does not have
       (`open_rankings`).
    2. Decode the images and store their files (`OpenRankings.prepare`).
    3. Add everything in one transaction (`OpenRankings.add`).

    Where broken images are skipped, steps 2 and 3 are done for `STEP` rankings at a time, and can be resumed.
    They are attributed to "imported:FILE", or to "imported:FILE:ANNOTATOR" where the file says who it was.

    Args:
        file: of an export or a published dataset; tables of Pick-a-Pic and ImageRewardDB may be a folder.
        images: the folder that image paths are relative to; None: the file's.
        format, without_images, skip_broken, split: as `RankingOptions` has them.
        progress: called with the number of rankings added since the last call.
    Raises: ImportRefused.
    """
    options = RankingOptions(format or "", split, without_images, skip_broken)
    with open_rankings(
        project=project, file=file, file_name=file.name, images=images, options=options, progress=progress
    ) as rankings:
        for part in batches(rankings.records, STEP if skip_broken else len(rankings.records)):
            files = rankings.prepare(part)
            with transaction.atomic():
                rankings.add(part, files, now=now)
        return rankings.result()


@contextmanager
def open_rankings(
    *,
    project: Project,
    file: Path,
    file_name: str,
    images: Path | None = None,
    options: RankingOptions,
    most_bytes: int | None = None,
    on_read: Progress | None = None,
    progress: Progress | None = None,
) -> Iterator[OpenRankings]:
    """Read and check the file's rankings; its archives stay open while the block runs. Nothing is written.

    Args:
        file_name: what they are attributed to, and what the log has: of what was sent, not of what is in it.
        images: the folder that image paths are relative to; None: the file's.
        most_bytes: that tables may decode to, and that packed pictures may have; None: MOST_BYTES, and any.
        on_read: called with the number of rankings and images read since the last call, which may be 0.
        progress: called with the number of rankings added since the last call.
    Raises: ImportRefused, also for missing images unless they are skipped.
    """
    read = on_read or (lambda read: None)
    reader, records, passed_over = read_rankings(
        project, file, options.format or None, most_bytes=most_bytes or MOST_BYTES, progress=read
    )
    records = [_in_split(record, options.split) for record in records]
    added = progress or (lambda added: None)
    rankings = OpenRankings(project, file, file_name, records, options, read, added, passed_over)
    if options.without_images:
        yield rankings
        return
    folder = images or (file if file.is_dir() else file.parent)
    with rankings.find_images(reader, folder, most_bytes):
        yield rankings


def _in_split(record: RankingRecord, split: str) -> RankingRecord:
    """Return the record in the split. Raises: ImportRefused where the file names another."""
    if split and record.split not in ("", split):
        raise record.row.refused(f"is of the {record.split} split, as the file says, not of {split}")
    return replace(record, split=split) if split else record


@dataclass
class OpenRankings:
    """The rankings of an open file, with the numbers of rows added so far.

    Attributes:
        passed_over: as `ImportedRankings` has it.
        image_files: by prompt key and source, those that were not decoded yet.
    """

    project: Project
    file: Path
    file_name: str
    records: list[RankingRecord]
    options: RankingOptions
    on_read: Progress
    progress: Progress
    passed_over: int
    image_files: dict[tuple[str, str], NewImageFile] = field(default_factory=dict)
    rankings: int = 0
    prompts: int = 0
    images: int = 0
    left_out: list[str] = field(default_factory=list)

    @contextmanager
    def find_images(self, reader: Reader, folder: Path, most_bytes: int | None) -> Iterator[None]:
        """Find the images that the project does not have. Raises: ImportRefused, also for missing files.

        Args: most_bytes: that packed ones may have together; None: any number.
        """
        with (
            tempfile.TemporaryDirectory(prefix="laurel-import-") as unpacked,
            closing(Packs(folder)) as packs,
        ):
            images = find_images(
                project=self.project,
                file=self.file,
                reader=reader,
                records=self.records,
                packs=packs,
                unpacked=PictureFolder(Path(unpacked), most_bytes),
                leave_out=self._note,
            )
            if not self.options.skip_broken:
                refuse_missing(self.file, folder, images)
            self.image_files = {(image.record.key, image.source): image for image in images}
            yield

    def prepare(self, records: Sequence[RankingRecord]) -> CheckedFiles:
        """Decode the images of these rankings and store their files: nobody has to wait for that in `add`.

        What `add` would refuse is refused first. Files that no prompt has in the end are harmless.

        Raises: ImportRefused.
        """
        files: CheckedFiles = {}
        for image, checked in checked_images(self._take_images(records)):
            self.on_read(1)
            if isinstance(checked, CheckedImage):
                files.setdefault(image.record.key, {})[image.source] = checked
            else:
                self.leave_out(image.record, image.source, checked)
        self._check(records, files)
        for key, images in files.items():
            try:
                store_images(images.values())
            except ImageRefused as error:  # one of them changed; skipped ones are named as they are added
                if not self.options.skip_broken:
                    raise next(record.row for record in records if record.key == key).refused(error) from None
            self.on_read(0)
        return files

    def add(
        self, records: Sequence[RankingRecord], files: CheckedFiles, *, now: datetime, by: User | None = None
    ) -> None:
        """Add the rankings with their prompts and images, and log it, in the caller's transaction.

        Args: files: what `prepare` returned for these rankings; by: who asked, for the log.
        Raises: ImportRefused.
        """
        lock_prompts(self.project)  # until it is over, slots and axes stay as they are
        self._check_settings(Project.objects.get(pk=self.project.pk))
        prompts, new_prompts = self._add_prompts(records)
        skip = self.options.skip_broken
        new_images = add_images(records, prompts, files, leave_out=self.leave_out, one_by_one=skip)
        new_rankings = 0
        for name, its_records in _by_annotator(records).items():
            annotator = imported_annotator(self.file_name, name)
            for batch in batches(its_records):
                new_rankings += record_judgements(self.project, batch, prompts, annotator, now)
                self.progress(len(batch))
        if new_rankings:
            details = {"prompts": new_prompts, "images": new_images, "file": self.file_name}
            record_action(
                Action.Kind.RANKINGS_ADDED,
                project=self.project,
                by=by,
                subject=f"{new_rankings} rankings",
                prompt_ids=(prompt.pk for prompt in prompts.values()),
                **details,
            )
        self.rankings += new_rankings
        self.prompts += new_prompts
        self.images += new_images

    def result(self) -> ImportedRankings:
        splits = Counter(record.split for record in self.records if record.split)
        known = len(self.records) - self.rankings
        return ImportedRankings(
            self.rankings, self.prompts, self.images, known, tuple(self.left_out), splits, self.passed_over
        )

    def leave_out(self, record: RankingRecord, source: str, refusal: Exception) -> None:
        """Note an image that cannot be imported. Raises: ImportRefused unless such images are skipped."""
        if not self.options.skip_broken:
            raise record.row.refused(refusal) from None
        self._note(record, source, refusal)

    def _note(self, record: RankingRecord, source: str, reason: Exception) -> None:
        self.left_out.append(f"prompt {record.key}, {source}: {reason}")

    def _take_images(self, records: Sequence[RankingRecord]) -> list[NewImageFile]:
        """Remove the images of these records from `image_files` and return them."""
        keys = dict.fromkeys((record.key, source) for record in records for source in record.sources)
        return [self.image_files.pop(key) for key in keys if key in self.image_files]

    def _check(self, records: Sequence[RankingRecord], files: CheckedFiles) -> None:
        """Raises: ImportRefused for what the project cannot take as it is now."""
        self._check_settings(Project.objects.get(pk=self.project.pk))
        for batch in batches(records):
            try:
                known_prompts = check_texts(project=self.project, texts=_texts(batch), splits=_splits(batch))
            except PromptRefused as error:
                raise _refused(batch, error) from None
            for name, its_records in _by_annotator(batch).items():
                refuse_changed(its_records, known_prompts, imported_name(self.file_name, name))
            if not self.options.skip_broken:
                self._check_images(batch, known_prompts, files)

    def _check_images(
        self, records: Sequence[RankingRecord], known_prompts: Mapping[str, Prompt], files: CheckedFiles
    ) -> None:
        """Raises: ImportRefused for pictures that are repeated, and more than can be placed."""
        known: dict[str, list[Generation]] = {record.key: [] for record in records}
        for generation in Generation.objects.filter(prompt__in=known_prompts.values()).select_related(
            "prompt"
        ):
            known[generation.prompt.key].append(generation)
        for record in records:
            images = new_files(record, files)
            try:
                missing = missing_images(images, known=known[record.key], most=self.project.max_images)
            except ImagesRefused as error:
                raise record.row.refused(error) from None
            known[record.key] += [
                Generation(source=image.source, image_id=checked.sha256) for image, checked in missing
            ]

    def _check_settings(self, project: Project) -> None:
        """Raises: ImportRefused where an admin has changed slots or axes since the file was checked."""
        if any(getattr(project, name) != getattr(self.project, name) for name in SETTINGS):
            raise ImportRefused(
                f"{self.file}: the project's slots or axes were changed meanwhile; import it again"
            )

    def _add_prompts(self, records: Sequence[RankingRecord]) -> tuple[dict[str, Prompt], int]:
        """Return every prompt by its key, and how many are new. Raises: ImportRefused."""
        prompts: dict[str, Prompt] = {}
        new_prompts = 0
        for batch in batches(records):
            try:
                batch_prompts, added = add_prompts(
                    project=self.project, texts=_texts(batch), splits=_splits(batch)
                )
            except PromptRefused as error:
                raise _refused(batch, error) from None
            prompts |= batch_prompts
            new_prompts += added
        return prompts, new_prompts


def _by_annotator(records: Iterable[RankingRecord]) -> dict[str, list[RankingRecord]]:
    by_annotator: dict[str, list[RankingRecord]] = {}
    for record in records:
        by_annotator.setdefault(record.annotator, []).append(record)
    return by_annotator


def _texts(records: Iterable[RankingRecord]) -> dict[str, str]:
    return {record.key: record.text for record in records}


def _splits(records: Iterable[RankingRecord]) -> dict[str, str]:
    return {record.key: record.split for record in records if record.split}


def _refused(records: Iterable[RankingRecord], error: PromptRefused) -> ImportRefused:
    return next(record.row for record in records if record.key == error.key).refused(error)
