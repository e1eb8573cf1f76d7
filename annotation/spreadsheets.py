"""Cells that a spreadsheet takes for the text they are."""

from __future__ import annotations

# A spreadsheet takes a text that begins so for a formula, unless an apostrophe stands before it.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")


def guarded(text: str) -> str:
    """The text as no formula; an importer takes the apostrophe away again."""
    return f"'{text}" if text.startswith(FORMULAS) else text
