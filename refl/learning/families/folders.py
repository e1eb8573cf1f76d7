"""The small files of a pipeline's folder, and how a fault in one is said. No torch."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from refl.learning.families import NotAPipeline


class PipelineFolder:
    """A folder that a pipeline was saved in.

    Args:
        name: what errors call it, the folder by default.
        files: all that belong to it, where only the small ones have been fetched; by default what lies in it.
    """

    def __init__(self, folder: Path, name: str | None = None, files: Collection[str] | None = None) -> None:
        self.folder, self.name = folder, name or str(folder)
        self.is_whole = files is None
        self.files = _listing(folder) if files is None else frozenset(files)

    def fault(self, file: str, message: str) -> NotAPipeline:
        return NotAPipeline(f"{self.name}: {file}: {message}")

    def read_json(self, file: str) -> dict[str, Any]:
        """Raises: NotAPipeline."""
        if file not in self.files:
            raise self.fault(file, "it is missing")
        try:
            content = json.loads((self.folder / file).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise self.fault(file, f"not readable as JSON ({error}); fetch or save it again") from error
        if not isinstance(content, dict):
            raise self.fault(file, "not an object of JSON; fetch or save it again")
        return content


def _listing(folder: Path) -> frozenset[str]:
    """Return the names of the folder's files, as deep as a pipeline's lie."""
    return frozenset(
        file.relative_to(folder).as_posix()
        for pattern in ("*", "*/*")
        for file in folder.glob(pattern)
        if file.is_file()
    )
