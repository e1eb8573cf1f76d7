"""The seeds of a prompt's images."""

from __future__ import annotations

import hashlib


def seeds_of(prompt: str, count: int) -> list[int]:
    """Return the seeds of a prompt's images, distinct, in 0..2^31 - 1; more seeds begin with the same ones.

    They do not depend on the generator, so two generators are compared image by image.

    Args: prompt: its key in its project, or its text.
    """
    digest = hashlib.sha256(prompt.encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    return [(first + number) % 2**31 for number in range(count)]
