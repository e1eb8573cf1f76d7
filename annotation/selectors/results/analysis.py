"""Labels and ratings of prompts and images, by category, wording and generator: the paper's analyses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.lookups import Exact

from annotation.models import Assignment, Category, Problem, Project, Prompt, PromptLabel, Rating
from annotation.models.axes import SCALE, Axis, point
from annotation.statistics.estimates import Estimate, Floats, Integers, NotEnough, Resamples
from annotation.statistics.function_words import function_share

CHUNK = 5000  # rows fetched at a time
SEED = 0  # seed of the resamples: the same answers give the same page
BUCKETS = 5  # of function words, equally wide, besides the prompts without any (ImageReward, appendix A.4)

Figure = Estimate | NotEnough


class CategoryCount(NamedTuple):
    """Labels of one category: prompts, labels, and those that call the text unclear or find an issue."""

    name: str
    prompts: int
    labels: int
    unclear: int
    issues: int


class Group(NamedTuple):
    """A group of rated images: mean on each axis, share with each problem, as in `Analysis.measures`."""

    name: str
    prompts: int
    ratings: int
    figures: list[Figure]

    @property
    def scores(self) -> list[Figure]:
        return self.figures[: -len(Problem)]

    @property
    def problems(self) -> list[Figure]:
        return self.figures[-len(Problem) :]


@dataclass(frozen=True)
class Analysis:
    """Analysis of a project's accepted answers, without gold tasks, repeats, training and tests.

    `distribution` has for each rating, the best first, how many images have it on each of `axes`.
    """

    axes: tuple[Axis, ...]
    labels: list[CategoryCount]
    images: Group
    by_category: list[Group]
    by_function_words: list[Group]
    by_generator: list[Group]
    distribution: list[tuple[int, list[int]]]

    @property
    def measures(self) -> tuple[str, ...]:
        return (*(axis.name for axis in self.axes), *Problem.values)


@dataclass(frozen=True)
class _Rated:
    """Sums of ratings, a row for each prompt, category and generator; prompts are numbered from 0."""

    prompts: Integers  # (N,)
    ratings: Integers  # (N,)
    categories: list[str | None]
    generators: list[str]
    above: Floats  # (N, measures): sums of ratings, counts of problems
    below: Floats  # (N, measures): ratings that these are of; problems and points may be unknown
    texts: list[str]  # of each prompt
    resamples: Resamples

    def group(self, name: str, chosen: Sequence[bool]) -> Group:
        rows = np.array(chosen, bool)
        prompts = self.prompts[rows]
        return Group(
            name=name,
            prompts=len(np.unique(prompts)),
            ratings=int(self.ratings[rows].sum()),
            figures=self.resamples.ratios(prompts, self.above[rows], self.below[rows]),
        )


def project_analysis(project: Project) -> Analysis:
    """Return everything the analysis page shows, in four queries."""
    assignments = Assignment.objects.finished().filter(project=project).order_by()
    ratings = Rating.objects.filter(assignment__in=assignments).order_by()
    axes = project.rating_axes
    rated = _sum_ratings(ratings, axes)
    return Analysis(
        axes=axes,
        labels=_count_labels(PromptLabel.objects.filter(assignment__in=assignments)),
        images=rated.group("All", [True] * len(rated.prompts)),
        by_category=_largest_first(
            rated.group(name, [category == value for category in rated.categories])
            for value, name in Category.choices
            if value in rated.categories
        ),
        by_function_words=_by_function_words(rated),
        by_generator=_largest_first(
            rated.group(name, [generator == name for generator in rated.generators])
            for name in {*rated.generators} - {""}
        ),
        distribution=_distribution(ratings, axes),
    )


def _sum_ratings(ratings: QuerySet[Rating], axes: Sequence[Axis]) -> _Rated:
    known = Count("pk", filter=Q(problems__isnull=False))
    sums = {f"sum_of_{axis.name}": Sum(point(axis.name), default=0) for axis in axes}
    with_point = {f"on_{axis.name}": Count(point(axis.name)) for axis in axes}
    counts = {f"with_{value}": Count("pk", filter=Q(problems__contains=[value])) for value in Problem.values}
    groups = ratings.values_list(
        "assignment__prompt_id", "assignment__label__category", "generation__generator"
    )
    rows = list(groups.annotate(rated=Count("pk"), known=known, **with_point, **sums, **counts))
    ids, prompts = np.unique([row[0] for row in rows], return_inverse=True)
    texts = dict(Prompt.objects.filter(assignments__ratings__in=ratings).distinct().values_list("pk", "text"))
    numbers = np.array([row[3:] for row in rows], np.float64).reshape(-1, 2 + 2 * len(axes) + len(Problem))
    points, above = np.split(numbers[:, 2:], [len(axes)], axis=1)
    problems = np.repeat(numbers[:, 1:2], len(Problem), axis=1)
    return _Rated(
        prompts=prompts,
        ratings=numbers[:, 0].astype(np.int64),
        categories=[row[1] for row in rows],
        generators=[row[2] for row in rows],
        above=above,
        below=np.concatenate([points, problems], axis=1),
        texts=[texts[pk] for pk in ids],
        resamples=Resamples(len(ids), seed=SEED),
    )


def _count_labels(labels: QuerySet[PromptLabel]) -> list[CategoryCount]:
    """Return the categories that occur, the most frequent first."""
    rows = labels.values_list("category").annotate(
        prompts=Count("assignment__prompt", distinct=True),
        labels=Count("pk"),
        unclear=Count("pk", filter=Q(intent_unclear=True)),
        with_issues=Count("pk", filter=Q(issues__len__gt=0)),
    )
    counts = [CategoryCount(str(Category(category).label), *numbers) for category, *numbers in rows]
    return sorted(counts, key=lambda count: (-count.prompts, count.name))


def _largest_first(groups: Iterable[Group]) -> list[Group]:
    return sorted(groups, key=lambda group: (-group.prompts, group.name))


def _by_function_words(rated: _Rated) -> list[Group]:
    """Group prompts by the share of their words in function phrases; those without come first."""
    shares = np.array([function_share(text) for text in rated.texts])
    buckets = np.ceil(shares * BUCKETS).astype(int)[rated.prompts]  # 0: none; then up to 1/5, 2/5 ...
    width = 100 // BUCKETS
    names = ["none", *(f"{width * (number - 1)} to {width * number} %" for number in range(1, BUCKETS + 1))]
    return [rated.group(name, list(buckets == number)) for number, name in enumerate(names)]


def _distribution(ratings: QuerySet[Rating], axes: Sequence[Axis]) -> list[tuple[int, list[int]]]:
    low, high = SCALE
    stars = range(high, low - 1, -1)
    counts = ratings.aggregate(
        **{
            f"{axis.name}_at_{star}": Count("pk", filter=Exact(point(axis.name), star))
            for axis in axes
            for star in stars
        }
    )
    return [(star, [counts[f"{axis.name}_at_{star}"] for axis in axes]) for star in stars]
