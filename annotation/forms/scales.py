"""The rating scales, as described to annotators."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One scale from 1 to 7: its question, and the meaning of its ends and its middle."""

    name: str
    title: str
    question: str
    low: str
    middle: str
    high: str


RATED = (
    Scale(
        "overall",
        "Overall",
        "If you had asked for this, how content would you be with this image?",
        "Useless, or does harm",
        "Usable, with clear flaws",
        "Could hardly be better",
    ),
    Scale(
        "alignment",
        "Match with the text",
        "Does the image show what the text says?",
        "Shows none of it",
        "Main things right, details not",
        "Everything, down to details",
    ),
    Scale(
        "fidelity",
        "Quality of the picture",
        "Do things look the way they should?",
        "Glaring faults spoil it",
        "Faults, but it holds together",
        "No faults, of one piece",
    ),
)
