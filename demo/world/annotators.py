"""Simulated annotators: each sees the oracle's verdict through noise, with individual weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import inf
from random import Random

from PIL import Image

from demo.world.oracle import ALIGNMENT, CLEANLINESS, TASTE, Examination, Flaw, Verdict, examine

SLOTS = 5
PER_SLOT = 2
NOISE = 0.06  # of a score in 0..1; 87 of 100 pairs are then in the oracle's order
FIDELITY_NOISE = 0.03  # flaws are seen more surely than it is known how much they matter
FLAW_NOISE = 0.25  # of a severity, where 1 is seen by everyone
NOTICED_FROM = 0.5  # a severity
WEIGHT_SPREAD = 0.1  # how far annotators differ in each weight, as a share of it
CLOSE = 0.02  # scores this near look equally good


@dataclass(frozen=True)
class Rating:
    """An image's marks, each 1 to 7, higher is better, and the flaws that were noticed."""

    overall: int
    alignment: int
    fidelity: int
    flaws: tuple[Flaw, ...] = ()


@dataclass(frozen=True)
class Opinion:
    """One annotator's answer for the images of a prompt, in the order shown: slot 1 is best."""

    slots: tuple[int, ...]
    ratings: tuple[Rating, ...]


@dataclass(frozen=True)
class Annotator:
    """One person's eye: the noise on each part, and the weights of alignment, taste and cleanliness."""

    noise: float = NOISE
    weights: tuple[float, float, float] = (ALIGNMENT, TASTE, CLEANLINESS)

    @classmethod
    def drawn(cls, seed: int, noise: float = NOISE) -> Annotator:
        """Return the annotator of this seed, slightly different from every other."""
        draw = Random(f"annotator {seed}")
        alignment, taste, cleanliness = (
            weight * draw.gauss(1, WEIGHT_SPREAD) for weight in (ALIGNMENT, TASTE, CLEANLINESS)
        )
        return cls(noise, (alignment, taste, cleanliness))

    def judge(self, images: Sequence[Image.Image], caption: str, generator: Random) -> Opinion:
        """Look once at all images of a prompt, rate and place them.

        A better slot never goes with a worse overall mark.

        Args: images: 1 to 10.
        Raises: NotACaption; ValueError for more images than the slots hold.
        """
        if len(images) > SLOTS * PER_SLOT:
            raise ValueError(f"{len(images)} images do not fit into {SLOTS} slots of {PER_SLOT}")
        examined = [examine(image, caption) for image in images]
        seen = [self._see(each.verdict, generator) for each in examined]
        slots = _fill_slots(seen)
        ratings = [
            self._rate(each, mark, generator)
            for each, mark in zip(examined, _overall_marks(seen, slots), strict=True)
        ]
        return Opinion(slots, tuple(ratings))

    def prefers_second(self, first: Verdict, second: Verdict, generator: Random) -> bool | None:
        """Whether the second of two pictures gets the better slot; None when both get the same."""
        slots = _fill_slots([self._see(verdict, generator) for verdict in (first, second)])
        return None if slots[0] == slots[1] else slots[1] < slots[0]

    def rank(self, images: Sequence[Image.Image], caption: str, generator: Random) -> tuple[int, ...]:
        """Each image's slot, 1 is best; at most two a slot."""
        return self.judge(images, caption, generator).slots

    def rate(self, images: Sequence[Image.Image], caption: str, generator: Random) -> tuple[Rating, ...]:
        """Each image's marks; with a generator in the same state they agree with `rank`."""
        return self.judge(images, caption, generator).ratings

    def _see(self, verdict: Verdict, generator: Random) -> float:
        """This person's impression, with the noise of one look."""
        parts = (verdict.alignment, verdict.taste, verdict.cleanliness)
        impression = sum(weight * part for weight, part in zip(self.weights, parts, strict=True))
        return impression + generator.gauss(0, self.noise)

    def _rate(self, examined: Examination, overall: int, generator: Random) -> Rating:
        """Noise on what is seen of each part; a look without any notices every flaw of severity 0.5."""
        share = self.noise / NOISE  # of the usual noise
        alignment = _mark(examined.verdict.alignment + generator.gauss(0, self.noise))
        fidelity = _mark(examined.verdict.cleanliness + generator.gauss(0, share * FIDELITY_NOISE))
        flaws = tuple(
            flaw
            for flaw, severity in examined.severity.items()
            if severity + generator.gauss(0, share * FLAW_NOISE) > NOTICED_FROM
        )
        return Rating(overall, alignment, fidelity, flaws)


def blind_votes(
    before: Sequence[Sequence[Verdict]],
    after: Sequence[Sequence[Verdict]],
    annotators: Sequence[Annotator],
    generator: Random,
) -> list[list[int]]:
    """Let one of the annotators, drawn anew for each pair, place both pictures of a caption and seed.

    They see no more than the pictures: which comes first is drawn too.

    Args: before, after: for each caption the verdicts on its pictures, in the same order of seeds.
    Returns: for each caption and seed 1 where the second generator's picture gets the better slot, -1 where
        the first's does, 0 where both get the same.
    """
    return [
        [_vote(*pair, generator.choice(annotators), generator) for pair in zip(*verdicts, strict=True)]
        for verdicts in zip(before, after, strict=True)
    ]


def _vote(before: Verdict, after: Verdict, annotator: Annotator, generator: Random) -> int:
    swapped = generator.random() < 0.5
    first, second = (after, before) if swapped else (before, after)
    second_wins = annotator.prefers_second(first, second, generator)
    if second_wins is None:
        return 0
    return 1 if second_wins != swapped else -1


def _fill_slots(seen: Sequence[float]) -> tuple[int, ...]:
    """Return a slot for each impression: close ones share a slot while it has room, and every image gets one.

    Of all ways to fill the slots from best to worst, images are put together where they are closest.
    """
    order = sorted(range(len(seen)), key=lambda image: -seen[image])

    @cache
    def cheapest(start: int, slots_left: int) -> tuple[float, tuple[int, ...]]:
        """The sizes of the slots from `start` on, and what it costs to call their images equal."""
        if start == len(order):
            return 0.0, ()
        if not slots_left:
            return inf, ()
        cost, sizes = cheapest(start + 1, slots_left - 1)
        ways = [(cost, (1, *sizes))]
        if start + 1 < len(order):
            gap = seen[order[start]] - seen[order[start + 1]]
            cost, sizes = cheapest(start + 2, slots_left - 1)
            ways.append((cost + gap - CLOSE, (2, *sizes)))
        return min(ways)

    slots = [0] * len(seen)
    images = iter(order)
    for slot, size in enumerate(cheapest(0, SLOTS)[1], start=1):
        for _ in range(size):
            slots[next(images)] = slot
    return tuple(slots)


def _overall_marks(seen: Sequence[float], slots: Sequence[int]) -> list[int]:
    """Marks 1..7 from the mean impression of each slot; one mark for all images of a slot."""
    marks = {}
    for slot in set(slots):
        together = [score for score, place in zip(seen, slots, strict=True) if place == slot]
        marks[slot] = _mark(sum(together) / len(together))
    return [marks[slot] for slot in slots]


def _mark(part: float) -> int:
    """0..1 -> 1..7"""
    return min(max(round(1 + 6 * part), 1), 7)
