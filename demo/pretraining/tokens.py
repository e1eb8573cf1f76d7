"""The CLIP tokenizer of the small world: one token for each word that captions use, bytes for all others."""

from __future__ import annotations

from typing import Any

from demo.world.captions import every_statement

LENGTH = 20  # tokens; the longest caption has 15 with its two ends


def build_tokenizer() -> Any:
    """A CLIPTokenizer whose merges put each caption word together from left to right."""
    from transformers import CLIPTokenizer

    words = sorted({word for statement in every_statement() for word in str(statement).split()})
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        for left, right in merges:  # in the order in which the tokenizer applies them
            parts = _merge_parts(parts, left, right)
        while len(parts) > 1:
            merges[parts[0], parts[1]] = None
            parts[:2] = [parts[0] + parts[1]]
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += dict.fromkeys(left + right for left, right in merges)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=LENGTH)


def _merge_parts(parts: list[str], left: str, right: str) -> list[str]:
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == (left, right):
            joined[-1] = left + right
        else:
            joined.append(part)
    return joined


def _byte_letters() -> list[str]:
    """A printable letter for each of the 256 bytes, as GPT-2 has them."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
