"""How long the body of a request may be that a view takes: as a page has it, unless the view takes files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Callback = TypeVar("Callback", bound=Callable[..., object])
FORM_BYTES = 1_000_000  # of the fields and borders around the files


def takes_files(most: int) -> Callable[[Callback], Callback]:
    """Let a view take files of so many bytes, all together; the outermost decorator.

    Elsewhere a body has DATA_UPLOAD_MAX_MEMORY_SIZE bytes at most. The web server refuses a longer one before
    it reads it (`config.web.bodies`).
    """

    def decorate(view: Callback) -> Callback:
        view.longest_body = most + FORM_BYTES  # type: ignore[attr-defined]
        return view

    return decorate
