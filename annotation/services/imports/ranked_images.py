"""The images of imported rankings: where their files are, whether they decode, and what of them is new."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from annotation.models import Generation, Project, Prompt
from annotation.services.imports.formats.pictures import PictureFolder
from annotation.services.imports.formats.record import RankingRecord, Reader
from annotation.services.imports.judgements import generation_ids
from annotation.services.imports.rows import ImportRefused, batches
from annotation.services.projects.images import (
    BROKEN,
    CheckedImage,
    ImageRefused,
    ImageSource,
    PackedImage,
    check_image,
)
from annotation.services.projects.prompts import ImagesRefused, NewImage, attach_images

NAMED = 3  # missing files that a refusal names
CHUNK = 256  # images decoded at a time
MOST_THREADS = 8  # that decode: each takes addresses, which the bound on an import's memory counts
CheckedFiles = dict[str, dict[str, CheckedImage]]  # by prompt key, by source
LeaveOut = Callable[[RankingRecord, str, Exception], None]


@dataclass(frozen=True)
class NewImageFile:
    """The file of an image that the project does not have yet, and the first ranking of the image.

    `is_extracted`: it was within a table, and the name of its file says nothing.
    """

    record: RankingRecord
    source: str
    file: ImageSource
    is_extracted: bool = False

    @property
    def is_missing(self) -> bool:
        return isinstance(self.file, Path) and not os.path.isfile(self.file)


class Packs:
    """The .zips of a folder, each opened once: DIR/NAME is NAME in DIR.zip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._packs: list[zipfile.ZipFile] = []
        self._images: dict[Path, dict[str, PackedImage]] = {}  # .zip -> file name -> image

    def find(self, name: str) -> PackedImage | None:
        """Return the image, or None. Raises: ImportRefused for a .zip that is cut off or damaged."""
        file = self.folder / f"{Path(name).parent}.zip"
        if file not in self._images:
            # os.path: a name that is too long for the file system is of no file.
            self._images[file] = self._open(file) if os.path.isfile(file) else {}
        return self._images[file].get(Path(name).name)

    def close(self) -> None:
        for pack in self._packs:
            pack.close()

    def _open(self, file: Path) -> dict[str, PackedImage]:
        try:
            pack = zipfile.ZipFile(file)
        except BROKEN as error:
            raise ImportRefused(f"{file}: cannot be unpacked ({error})") from None
        self._packs.append(pack)
        return {Path(member.filename).name: PackedImage(pack, member) for member in pack.infolist()}


def find_images(
    *,
    project: Project,
    file: Path,
    reader: Reader,
    records: list[RankingRecord],
    packs: Packs,
    unpacked: PictureFolder,
    leave_out: LeaveOut,
) -> list[NewImageFile]:
    """Return each image that the project does not have. The files are not read yet.

    Args:
        packs: the .zips of the folder that the images' paths are relative to.
        unpacked: an empty folder, for images that are inside tables.
        leave_out: called for an image of which the file itself says that it has no picture.
    Raises: ImportRefused.
    """
    new_images = _new_images(project, records, packs.folder)
    names = sorted({name for _, name in new_images.values() if name is not None})
    absent = reader.unpack(file, packs.folder, names, unpacked) if reader.unpack else set()
    images = []
    for (_, source), (record, name) in new_images.items():
        if name is None or name in absent:
            leave_out(record, source, ImageRefused(f"has no picture in {file}"))
            continue
        packed = packs.find(name) if reader.in_zips else None
        if packed:
            unpacked.count(packs.folder, packed.member.file_size)
        extracted = unpacked.path / name
        if os.path.exists(extracted):
            images.append(NewImageFile(record, source, extracted, is_extracted=True))
        else:
            images.append(NewImageFile(record, source, packed or record.row.inside(name, packs.folder)))
    return images


def _new_images(
    project: Project, records: Iterable[RankingRecord], folder: Path
) -> dict[tuple[str, str], tuple[RankingRecord, str | None]]:
    """Return (prompt key, source) -> the first record of the image, and its file's name, None without one.

    Raises: ImportRefused for a name outside the folder.
    """
    known_images = set(
        Generation.objects.filter(prompt__project=project, image__isnull=False).values_list(
            "prompt__key", "source"
        )
    )
    new_images: dict[tuple[str, str], tuple[RankingRecord, str | None]] = {}
    for record in records:
        for source in record.sources:
            name = record.file_of(source)
            if (record.key, source) in known_images:
                continue
            if name is not None:
                record.row.inside(name, folder)
            if new_images.get((record.key, source), (record, None))[1] is None:
                new_images[record.key, source] = (record, name)
    return new_images


def refuse_missing(file: Path, folder: Path, images: list[NewImageFile]) -> None:
    """Raises: ImportRefused saying how many files are missing, if any."""
    missing = [image.source for image in images if image.is_missing]
    if missing:
        raise ImportRefused(
            f"{file}: {len(missing):,} of {len(images):,} image files are missing in {folder}: "
            f"{', '.join(missing[:NAMED])}{' ...' if len(missing) > NAMED else ''} "
            "(skip broken images to leave them out, or import the rankings without images)"
        )


def checked_images(
    images: Iterable[NewImageFile],
) -> Iterator[tuple[NewImageFile, CheckedImage | ImageRefused]]:
    """Decode the images, in order; a missing or broken one is yielded with the refusal."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        for chunk in batches(images, CHUNK):
            yield from zip(chunk, pool.map(_check_or_refusal, chunk), strict=True)


def _check_or_refusal(image: NewImageFile) -> CheckedImage | ImageRefused:
    try:
        return check_image(image.file)
    except ImageRefused as error:
        return (
            ImageRefused(str(error).replace(str(image.file), image.source)) if image.is_extracted else error
        )


def new_files(record: RankingRecord, files: CheckedFiles) -> list[tuple[NewImage, CheckedImage]]:
    """Return the record's images of which there are files."""
    return [
        (NewImage(checked.source, source, record.generator_of(source)), checked)
        for source, checked in files.get(record.key, {}).items()
        if source in record.sources
    ]


def add_images(
    records: Iterable[RankingRecord],
    prompts: Mapping[str, Prompt],
    files: CheckedFiles,
    *,
    leave_out: LeaveOut,
    one_by_one: bool,
) -> int:
    """Add the images, with their files where there are any; return how many are new.

    Args:
        prompts: by key.
        leave_out: called for a picture that cannot be added, such as one that is repeated.
        one_by_one: of a record whose images are refused together, add those that can be.
    Raises: ImportRefused unless images are added one by one.
    """
    added = 0
    for batch in batches(records):
        for record in batch:
            added += _attach_files(
                record, prompts[record.key], new_files(record, files), leave_out, one_by_one=one_by_one
            )
        added += _add_without_files(batch, prompts)
    return added


def _attach_files(
    record: RankingRecord,
    prompt: Prompt,
    images: list[tuple[NewImage, CheckedImage]],
    leave_out: LeaveOut,
    *,
    one_by_one: bool,
) -> int:
    try:
        return len(attach_images(prompt=prompt, images=images)) if images else 0
    except (ImageRefused, ImagesRefused) as error:
        if not one_by_one:
            raise record.row.refused(error) from None
    added = 0
    for image in images:
        try:
            added += len(attach_images(prompt=prompt, images=[image]))
        except (ImageRefused, ImagesRefused) as error:
            leave_out(record, image[0].source, error)
    return added


def _add_without_files(batch: list[RankingRecord], prompts: Mapping[str, Prompt]) -> int:
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
