"""Loading models without what their libraries would print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType


@contextmanager
def quiet(*loggings: ModuleType) -> Iterator[None]:
    """Libraries print errors alone and draw no progress bars meanwhile; afterwards they do as before.

    Both are switches of the whole process, so whoever loads a model must not leave them turned.

    Args: loggings: `transformers.logging`, `diffusers.utils.logging`, or both.
    """
    with ExitStack() as undo:
        for logging in loggings:
            undo.callback(logging.set_verbosity, logging.get_verbosity())
            if logging.is_progress_bar_enabled():  # else switching them on may be warned of
                undo.callback(logging.enable_progress_bar)
            logging.set_verbosity_error()
            logging.disable_progress_bar()
        yield
