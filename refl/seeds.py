"""Seeds of images, the same wherever and whenever they are made."""

from __future__ import annotations

import hashlib


def seeds_of(prompt: str, count: int) -> list[int]:
    """The seeds of a prompt's images, distinct, the first ones always the same. In 0..2^31 - 1.

    They do not depend on the generator, so two generators are compared image by image.

    Args: prompt: what tells the prompt from others: its id in its project, or its text.
    """
    digest = hashlib.sha256(prompt.encode()).digest()
    first = int.from_bytes(digest[:4], "big")
    return [(first + number) % 2**31 for number in range(count)]
