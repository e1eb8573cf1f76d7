"""A generator's pipeline as files of this machine, and loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.stored_files import local_copy
from refl.models import Generator

if TYPE_CHECKING:
    from refl.learning.families import Family


@contextmanager
def local_pipeline(generator: Generator) -> Iterator[tuple[Path, list[Path]]]:
    """Provide the folder or hub id of its pipeline, and the files of LoRA over it, in order."""
    with ExitStack() as stack:
        pipeline = stack.enter_context(local_copy(generator.location))
        yield pipeline, [stack.enter_context(local_copy(file)) for file in generator.loras]


def load_generator(generator: Generator, device: str | None = None) -> Family:
    """Load its pipeline, on the best device when None; this imports torch. Raises: NotAPipeline."""
    from refl.learning.families.loading import load_family

    with local_pipeline(generator) as (pipeline, loras):
        return load_family(str(pipeline), device, loras=loras)
