"""What to score: files and folders of images for one prompt, or a list of prompts and files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ListingError(ValueError):
    """A list of what to score cannot be read; the message names file and line."""


@dataclass(frozen=True)
class PromptedImage:
    """An image file and the prompt to score it for."""

    prompt: str
    file: Path

    def __post_init__(self) -> None:
        """Raises: ListingError for a prompt or a name that no file could hold."""
        for what, text in (("prompt", self.prompt), ("file's name", str(self.file))):
            if "\0" in text:
                raise ListingError(f"the {what} has a NUL: {text!r}")
            if what == "prompt" and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ListingError(f"the {what} is not valid Unicode: {text!r}")


def images_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files named, and all images below the folders named, in order of name.

    Raises: ListingError on a folder without images.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not files:
            raise ListingError(f"{path}: no images in this folder")
        yield from files


def read_listing(file: Path) -> list[PromptedImage]:
    """Read rows of `prompt` and `file`, JSON one a line (.jsonl) or CSV; other fields are ignored.

    Files are relative to the list's folder. Raises: ListingError.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix == ".csv":
                rows: Iterable[Any] = csv.DictReader(lines)
            else:
                rows = (json.loads(line) for line in lines if line.strip())
            return _parse_rows(rows, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ListingError(f"{file}: cannot be read ({error})") from error


def _parse_rows(rows: Iterable[Any], file: Path) -> list[PromptedImage]:
    images: list[PromptedImage] = []
    try:
        for row in rows:
            images.append(_parse_row(row, file.parent))
    except (ValueError, RecursionError) as error:
        raise ListingError(f"{file}, row {len(images) + 1}: {error}") from error
    return images


def _parse_row(row: Any, folder: Path) -> PromptedImage:
    if not isinstance(row, Mapping):
        raise ValueError(f"not an object: {row!r}")
    for name in ("prompt", "file"):
        if not isinstance(row.get(name), str):
            raise ValueError(f"no {name}")
    return PromptedImage(row["prompt"], folder / row["file"])
