"""The images that imported rankings show: where their files are, and whether they are pictures."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from annotation.models import Generation, Project
from annotation.services.imports.opinions import Opinion, Reader
from annotation.services.imports.rows import ImportRefused
from annotation.services.projects.images import (
    BROKEN,
    CheckedImage,
    ImageRefused,
    ImageSource,
    PackedImage,
    check_image,
)

NAMED = 3  # missing files that a refusal names
AHEAD = 256  # images decoded at a time, on all processors


@dataclass(frozen=True)
class ShownImage:
    """An image that the project does not have yet, and the first ranking that shows it."""

    opinion: Opinion
    source: str
    file: ImageSource

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
        """Raises: ImportRefused for a .zip that is cut off or damaged."""
        file = self.folder / f"{Path(name).parent}.zip"
        if file not in self._images:
            self._images[file] = self._open(file) if file.is_file() else {}
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
        return {Path(one.filename).name: PackedImage(pack, one) for one in pack.infolist()}


def find_images(
    *, project: Project, file: Path, reader: Reader, opinions: list[Opinion], packs: Packs, unpacked: Path
) -> list[ShownImage]:
    """Every image that the project does not have, each once. Nothing is read of it yet.

    Args:
        packs: of the folder to which the images' paths are relative.
        unpacked: an empty folder, for images that lie in tables.
    Raises: ImportRefused.
    """
    named = _named(project, opinions, packs.folder)
    names = sorted({name for _, name in named.values()})
    nowhere = reader.unpack(file, packs.folder, names, unpacked) if reader.unpack else set()
    shown = []
    for (_, source), (opinion, name) in named.items():
        if name in nowhere:
            continue
        packed = packs.find(name) if reader.in_zips else None
        inside = unpacked / name
        on_disk = inside if inside.exists() else opinion.row.inside(name, packs.folder)
        shown.append(ShownImage(opinion, source, packed or on_disk))
    return shown


def _named(
    project: Project, opinions: Iterable[Opinion], folder: Path
) -> dict[tuple[str, str], tuple[Opinion, str]]:
    """Prompt key and source -> the first opinion that shows it, and its file's name. Raises ImportRefused."""
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
    return named


def refuse_missing(file: Path, folder: Path, shown: list[ShownImage]) -> None:
    """Raises ImportRefused saying how many files are missing."""
    missing = [image.source for image in shown if image.is_missing]
    if missing:
        raise ImportRefused(
            f"{file}: {len(missing):,} of {len(shown):,} image files are missing in {folder}: "
            f"{', '.join(missing[:NAMED])}{' ...' if len(missing) > NAMED else ''} "
            "(--skip-broken leaves them out, --without-images takes the rankings alone)"
        )


def checked_images(
    shown: Iterable[ShownImage],
) -> Iterator[tuple[ShownImage, CheckedImage | ImageRefused]]:
    """Decode them, in their order; what is missing or broken comes with the reason."""
    rest = iter(shown)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while ahead := list(islice(rest, AHEAD)):
            yield from zip(ahead, pool.map(_check, ahead), strict=True)


def _check(image: ShownImage) -> CheckedImage | ImageRefused:
    try:
        return check_image(image.file)
    except ImageRefused as error:
        return error
