"""What people say of an image beside where it stands: two ratings, and what is wrong with it. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RATINGS = ("alignment", "fidelity")  # each from 1 to LEVELS, higher is better
LEVELS = 7
PROBLEMS = ("repeated", "body", "blurry", "disturbing", "sexual", "violent", "defaming")
ASPECTS = (*RATINGS, "problems")

Answers = tuple[tuple[bool, ...] | None, ...]  # of each image, None where nobody said; see `questions`


def questions(aspect: str) -> int:
    """How many yes-or-no questions an aspect is made of.

    A rating of 1 to 7 is six: is it above 1, above 2 and so on. Problems are one each.
    """
    return len(PROBLEMS) if aspect == "problems" else LEVELS - 1


def checked(aspects: object) -> tuple[str, ...]:
    """The names of aspects, each once. Raises: ValueError when they are anything else."""
    if not isinstance(aspects, list | tuple) or not all(isinstance(each, str) for each in aspects):
        raise ValueError(f"aspects must be a list of names, is {aspects!r}")
    unknown = [each for each in aspects if each not in ASPECTS]
    if unknown:
        raise ValueError(f"no aspect {unknown[0]!r}; there are {', '.join(ASPECTS)}")
    if len(set(aspects)) < len(aspects):
        raise ValueError(f"aspects must each be named once, are {', '.join(aspects)}")
    return tuple(aspects)


def read_answers(row: Mapping[str, Any], images: int) -> dict[str, Answers]:
    """What a line of rankings.jsonl says of each of its images, by aspect; {} where it says nothing.

    Raises: ValueError when it is not one answer an image, or none that can be given.
    """
    found: dict[str, Answers] = {}
    ratings = row.get("ratings", {})
    if not isinstance(ratings, dict) or set(ratings) - set(RATINGS):
        raise ValueError(f"ratings are of {' and '.join(RATINGS)}, not {ratings}")
    for name, given in ratings.items():
        _check_count(name, given, images)
        found[name] = tuple(None if each is None else _steps(name, each) for each in given)
    if "problems" in row:
        _check_count("problems", row["problems"], images)
        found["problems"] = tuple(None if each is None else _boxes(each) for each in row["problems"])
    return found


def _check_count(name: str, given: Any, images: int) -> None:
    if not isinstance(given, list) or len(given) != images:
        raise ValueError(f"{name} has not one answer for each of {images} images: {given}")


def _steps(name: str, rating: Any) -> tuple[bool, ...]:
    if type(rating) is not int or not 1 <= rating <= LEVELS:
        raise ValueError(f"{name} is rated from 1 to {LEVELS}, not {rating!r}")
    return tuple(rating > level for level in range(1, LEVELS))


def _boxes(given: Any) -> tuple[bool, ...]:
    if not isinstance(given, list) or len(given) != len(PROBLEMS) or {*map(type, given)} != {bool}:
        raise ValueError(f"problems are {len(PROBLEMS)} times true or false, not {given!r}")
    return tuple(given)


def shares(answers: Iterable[tuple[bool, ...]]) -> tuple[float, ...]:
    """Of each question, the share that said yes; one more answer counts as half yes, half no.

    () where there is no answer.
    """
    asked = 0
    said_yes: list[float] = []
    for answer in answers:
        said_yes = [count + yes for count, yes in zip(said_yes or [0.5] * len(answer), answer, strict=True)]
        asked += 1
    return tuple(count / (asked + 1) for count in said_yes)
