"""A study's win rates as rows of a chart, and its images as pairs, for its page and its public one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from django.core.paginator import Page, Paginator

from annotation.charts import Whisker, whisker
from refl.models import Generator
from refl.selectors.studies import StudyReport
from refl.selectors.study_answers import Rate
from refl.selectors.study_gallery import GalleryRow, StudyImage, Votes
from refl.views.pictures import BeforeAfter, Picture

PER_PAGE = 24
EVEN = 0.5  # the win rate of equals
OUTCOMES = ("after", "before", "tie", "open")  # of the votes on a pair


@dataclass(frozen=True)
class RateRow:
    """A win rate and where it lies on an axis from 0 to 100 %; the reward model's below it, if it has one.

    `model`, `low` and `high` are shares from 0 to 1. `at_close` is the rate with which the study was closed,
    where votes came in since, or were sent back.
    """

    rate: Rate
    whisker: Whisker
    model: float | None = None
    low: float = 0.0
    high: float = 0.0
    model_whisker: Whisker | None = None
    at_close: Rate | None = None


@dataclass(frozen=True)
class StudyPair:
    """Images of one prompt and seed by the base and another generator, and people's votes on them.

    `outcome` is "after" where most votes are for the other, "before" where they are for the base, "tie", or
    "open" without any vote. `scored` are the two images where a reward model scored both, the base's first.
    """

    pair: BeforeAfter
    votes: Votes
    outcome: str
    category: str
    seed: int
    scored: tuple[StudyImage, ...]


@dataclass(frozen=True)
class Outcome:
    """A choice of the gallery: pairs with this outcome, "" for all, and how many there are."""

    name: str
    title: str
    pairs: int


@dataclass(frozen=True)
class Gallery:
    """A page of a study's pairs by the base and one of the others, which have this outcome, "" for any.

    `place` is the other's among the study's generators; `lost` are pairs of which an image is gone.
    """

    base: Generator
    place: int
    won: str
    page: Page[StudyPair]
    outcomes: list[Outcome]
    lost: int


def rate_rows(report: StudyReport) -> list[RateRow]:
    """Return the win rate of each generator but the base."""
    model = (
        {generator.pk: estimate for generator, estimate in report.reward.win_rates} if report.reward else {}
    )
    closed_with = {rate.generator.pk: rate for rate in report.closed_with}
    rows = []
    for rate in report.rates:
        estimate, at_close = model.get(rate.generator.pk), closed_with.get(rate.generator.pk)
        row = RateRow(
            rate,
            _on_axis(rate.result.interval.low, rate.result.value, rate.result.interval.high),
            at_close=at_close if at_close != rate else None,
        )
        if estimate is not None:
            ends = estimate.low, estimate.value, estimate.high
            row = replace(
                row,
                model=estimate.value,
                low=estimate.low,
                high=estimate.high,
                model_whisker=_on_axis(*ends),
            )
        rows.append(row)
    return rows


def _on_axis(low: float, value: float | None, high: float) -> Whisker:
    return whisker(low, EVEN if value is None else value, high, mark=EVEN, axis=(0.0, 1.0))


def gallery_of(
    report: StudyReport, query: Mapping[str, str], *, address: Callable[[StudyImage], str]
) -> Gallery:
    """Return a page of the study's pairs.

    Args:
        query: `generator`, the place of the one beside the base; `won`, an outcome; `page`. What is no such
            thing counts as not given.
        address: of an image.
    """
    chosen = query.get("generator", "")
    place = int(chosen) if chosen in {str(place) for place in range(1, len(report.generators))} else 1
    complete = [
        _pair(row, before, after, place, address)
        for row in report.gallery
        if (before := row.images[0]) is not None and (after := row.images[place]) is not None
    ]
    counts = Counter(pair.outcome for pair in complete)
    won = query.get("won", "")
    won = won if won in OUTCOMES else ""
    base, other = report.generators[0], report.generators[place]
    titles = {
        "": "All",
        "after": f"{other} won",
        "before": f"{base} won",
        "tie": "Tied",
        "open": "No vote yet",
    }
    return Gallery(
        base=base,
        place=place,
        won=won,
        page=Paginator([pair for pair in complete if won in ("", pair.outcome)], PER_PAGE).get_page(
            query.get("page")
        ),
        outcomes=[
            Outcome(name, title, counts[name] if name else len(complete)) for name, title in titles.items()
        ],
        lost=len(report.gallery) - len(complete),
    )


def _pair(
    row: GalleryRow,
    before: StudyImage,
    after: StudyImage,
    place: int,
    address: Callable[[StudyImage], str],
) -> StudyPair:
    def picture(image: StudyImage) -> Picture:
        return Picture(
            address(image), image.width, image.height, image.generator.name, row.prompt, image.is_flagged
        )

    votes = row.votes[place] or Votes(0, 0, 0)
    are_scored = before.score is not None and after.score is not None and before.scored_by == after.scored_by
    pair = BeforeAfter(f"{before.token}-{after.token}", picture(before), picture(after))
    return StudyPair(
        pair, votes, _outcome(votes), row.category, row.seed, (before, after) if are_scored else ()
    )


def _outcome(votes: Votes) -> str:
    if not any(votes):
        return "open"
    if votes.wins == votes.losses:
        return "tie"
    return "after" if votes.wins > votes.losses else "before"
