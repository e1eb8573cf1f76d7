"""Reading JSON from files: small documents whole, lists an item at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.services.imports.rows import LONGEST_ROW, ImportRefused
from annotation.services.imports.texts import decoded_parts, not_decodable, too_long

LARGEST_DOCUMENT = 64 * 2**20  # letters
BLANK = re.compile(r"[ \t\n\r]*")


def parse(file: Path, row: int, text: str) -> Any:
    """Return the value. Raises ImportRefused."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(file, row, error) from None


def read_document(file: Path) -> object:
    """Return the JSON value that the file contains; its lines are the rows. Raises ImportRefused."""
    text = ""
    try:
        for part in decoded_parts(file):
            text += part
            if len(text) > LARGEST_DOCUMENT:
                raise ImportRefused(f"{file}: has more than {LARGEST_DOCUMENT:,} letters")
        document: object = json.loads(text)
    except UnicodeDecodeError as error:
        raise not_decodable(file, text.count("\n") + 1, error) from None
    except (ValueError, RecursionError) as error:
        raise _refusal(file, getattr(error, "lineno", 1), error) from None
    return document


def read_list(file: Path, longest: int = LONGEST_ROW) -> Iterator[tuple[int, Any]]:
    """Yield the items of the list that the file contains, numbered, with one in memory at a time.

    Args: longest: letters that an item may have.
    Raises ImportRefused.
    """
    text = _Text(file, longest)
    if text.next_letter() != "[":
        raise ImportRefused(f"{file}: is no list: objects on lines of their own belong in a .jsonl file")
    text.skip()
    is_over = text.next_letter() == "]"
    while not is_over:
        yield text.row, text.item()
        is_over = text.next_letter() == "]"
        if not is_over:
            if text.next_letter() != ",":
                raise ImportRefused(f"{file}, row {text.row}: is no JSON (no comma behind it)")
            text.skip()
            text.next_letter()
            text.row += 1
    text.skip()
    if text.next_letter():
        raise ImportRefused(f"{file}: goes on behind the end of its list")


class _Text:
    """The text of a file around a position that moves on; what lies behind it is forgotten."""

    def __init__(self, file: Path, longest: int) -> None:
        self.file, self.row, self.longest = file, 1, longest
        self._parts = decoded_parts(file)
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._is_whole = "", 0, False

    def next_letter(self) -> str:
        """Move to the next letter that is not blank and return it; "" at the end."""
        while True:
            self._at = BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]  # it always matches
            if self._at < len(self._text) or not self._read_more():
                return self._text[self._at : self._at + 1]

    def skip(self) -> None:
        self._at += 1

    def item(self) -> Any:
        """Return the value at the position and move behind it. Raises ImportRefused."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._read_more():
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if not self._read_more():
                    raise _refusal(self.file, self.row, error) from None
            except (ValueError, RecursionError) as error:
                raise _refusal(self.file, self.row, error) from None

    def _read_more(self) -> bool:
        """Double the text after the position, which begins it then; return whether there was more.

        Raises ImportRefused for an item that is too long.
        """
        text = self._text[self._at :]
        if len(text) > self.longest:
            raise too_long(self.file, self.row, self.longest)
        self._text, self._at, wanted = text, 0, 2 * len(text)
        try:
            while not self._is_whole and (len(self._text) == len(text) or len(self._text) < wanted):
                part = next(self._parts, "")
                self._text += part
                self._is_whole = not part
        except UnicodeDecodeError as error:
            raise not_decodable(self.file, self.row, error) from None
        return len(self._text) > len(text)


def _refusal(file: Path, row: int, error: ValueError | RecursionError) -> ImportRefused:
    if isinstance(error, json.JSONDecodeError):
        return ImportRefused(f"{file}, row {row}: is no JSON ({error.msg})")
    if isinstance(error, RecursionError):
        return ImportRefused(f"{file}, row {row}: is nested too deeply")
    # Python reads no whole number of more than 4300 digits
    return ImportRefused(f"{file}, row {row}: holds a number that is too long")
