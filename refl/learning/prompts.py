"""Prompts that a generator is tuned on: what they must be, and how much of them its text encoders read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rewardmodel.learning.errors import PermanentError


class BadPrompts(PermanentError):
    """A prompt asks for nothing, or cannot be read; the message says which."""


def check_prompts(prompts: Sequence[str]) -> None:
    """Raises: BadPrompts naming the first one that is empty or no text."""
    for row, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, str):
            raise BadPrompts(f"prompt {row} of {len(prompts)} is no text but {prompt!r}")
        if not prompt.strip():
            raise BadPrompts(
                f"prompt {row} of {len(prompts)} is empty: leave it out, no image can be judged by it"
            )
        if not is_unicode(prompt):
            raise BadPrompts(f"prompt {row} of {len(prompts)} holds half a character: {prompt!r}")


def is_unicode(text: str) -> bool:
    """Whether it can be encoded: JSON may hold half of a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe_cut(pipeline: Any, limits: Mapping[str, int], texts: Sequence[str], *, what: str) -> list[str]:
    """Say how many texts are longer than a text encoder reads, a line for each encoder that cuts any.

    Args:
        pipeline: of diffusers.
        limits: tokens that each of its text encoders reads, see `Family.text_limits`.
        what: what the texts are called.
    """
    unique, lines = list(dict.fromkeys(texts)), []
    for encoder, limit in limits.items():
        tokenizer = pipeline.components[encoder.replace("text_encoder", "tokenizer")]
        lengths = map(len, tokenizer(unique, verbose=False).input_ids) if unique else ()
        count = sum(length > limit for length in lengths)
        if count:
            lines.append(
                f"{count} of {len(unique)} {what} are longer than the {limit} tokens that the generator's "
                f"{encoder} reads: what comes after them has no effect on it"
            )
    return lines
