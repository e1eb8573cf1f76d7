"""What people say of an image beside where it stands: two ratings, and what is wrong with it. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RATINGS = ("alignment", "fidelity")  # each from 1 to LEVELS, higher is better
LEVELS = 7
PROBLEMS = ("repeated", "body", "blurry", "disturbing", "sexual", "violent", "defaming")
ASPECTS = (*RATINGS, "problems")
ARTIFACTS = ("fidelity", "problems")  # what the picture alone answers, whatever it was to show

Answers = tuple[tuple[bool, ...] | None, ...]  # of each image, None where nobody said; see `questions`


def questions(aspect: str) -> int:
    """Return how many yes-or-no questions an aspect is made of.

    A rating of 1 to 7 is six: is it above 1, above 2 and so on. Problems are one each.
    """
    return len(PROBLEMS) if aspect == "problems" else LEVELS - 1


def validate(aspects: object) -> tuple[str, ...]:
    """Return the names of aspects, each once. Raises: ValueError when they are anything else."""
    if not isinstance(aspects, list | tuple) or not all(isinstance(each, str) for each in aspects):
        raise ValueError(f"aspects must be a list of names, is {aspects!r}")
    unknown = [each for each in aspects if each not in ASPECTS]
    if unknown:
        raise ValueError(f"no aspect {unknown[0]!r}; there are {', '.join(ASPECTS)}")
    if len(set(aspects)) < len(aspects):
        raise ValueError(f"aspects must each be named once, are {', '.join(aspects)}")
    return tuple(aspects)


def read_answers(row: Mapping[str, Any], images: int) -> dict[str, Answers]:
    """Return what a line of rankings.jsonl says of each of its images, by aspect; {} where it says nothing.

    Raises: ValueError when it is not one answer an image, or none that can be given.
    """
    by_aspect: dict[str, Answers] = {}
    ratings = row.get("ratings", {})
    if not isinstance(ratings, dict) or set(ratings) - set(RATINGS):
        raise ValueError(f"ratings are of {' and '.join(RATINGS)}, not {ratings}")
    for name, answers in ratings.items():
        _check_count(name, answers, images)
        by_aspect[name] = tuple(None if each is None else _parse_rating(name, each) for each in answers)
    if "problems" in row:
        _check_count("problems", row["problems"], images)
        by_aspect["problems"] = tuple(
            None if each is None else _parse_boxes(each) for each in row["problems"]
        )
    return by_aspect


def _check_count(name: str, answers: Any, images: int) -> None:
    if not isinstance(answers, list) or len(answers) != images:
        raise ValueError(f"{name} has not one answer for each of {images} images: {answers}")


def _parse_rating(name: str, rating: Any) -> tuple[bool, ...]:
    if type(rating) is not int or not 1 <= rating <= LEVELS:
        raise ValueError(f"{name} is rated from 1 to {LEVELS}, not {rating!r}")
    return tuple(rating > level for level in range(1, LEVELS))


def _parse_boxes(boxes: Any) -> tuple[bool, ...]:
    if not isinstance(boxes, list) or len(boxes) != len(PROBLEMS) or {*map(type, boxes)} != {bool}:
        raise ValueError(f"problems are {len(PROBLEMS)} times true or false, not {boxes!r}")
    return tuple(boxes)


def shares(answers: Iterable[tuple[bool, ...]]) -> tuple[float, ...]:
    """Return the share of yes for each question; one more answer counts as half yes, half no.

    () where there is no answer.
    """
    total = 0
    yeses: list[float] = []
    for answer in answers:
        yeses = [count + yes for count, yes in zip(yeses or [0.5] * len(answer), answer, strict=True)]
        total += 1
    return tuple(count / (total + 1) for count in yeses)
