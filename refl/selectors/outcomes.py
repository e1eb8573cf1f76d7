"""What the loop brought: accuracy over reward models, rewards and win rates over generators, pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from annotation.models import Generation, Project
from annotation.selectors.projects.images import Picture, judged_images, pictures_of
from refl.models import Generator, Study
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import Curve

VERSIONS = 100  # newest reward models and generators in a chart


@dataclass(frozen=True)
class Versions:
    """Reward models of a project in order: their accuracy on test pairs, and people's own on the same."""

    accuracy: Curve
    people: Curve


PEOPLE = "people"  # who judge in studies


@dataclass(frozen=True)
class Preferred:
    """How often a generator's images are preferred: a share of votes, ties as half, with its interval.

    Attributes: number: of the generator, from 0; judge: `PEOPLE`, or who else was asked.
    """

    number: int
    judge: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class WinRates:
    """Generators that were compared with others, the oldest first, and how often each is preferred.

    Attributes: names: of the generators; bases: what each is compared with.
    """

    names: list[str]
    bases: list[str]
    preferred: list[Preferred]

    @property
    def judges(self) -> list[str]:
        """Whoever judged, people first."""
        return sorted({each.judge for each in self.preferred}, key=lambda judge: (judge != PEOPLE, judge))


def reward_model_versions(project: Project) -> Versions:
    """Return the figures of the reward models that rankings trained, numbered from 1."""
    rows = RewardCheckpoint.objects.versions().filter(project=project).order_by("-pk")
    metrics = list(rows.values_list("metrics", flat=True)[:VERSIONS])[::-1]
    return Versions(
        _curve([each.get("accuracy") for each in metrics]), _curve([each.get("ceiling") for each in metrics])
    )


def _curve(values: Sequence[float | None]) -> Curve:
    return [(number, value) for number, value in enumerate(values, 1) if value is not None]


def rewards_of_generators(project: Project) -> dict[str, Curve]:
    """Return, for each reward that a kept generator was not tuned on, its mean over the kept generators.

    They are numbered from 1; before it, each reward has its mean of the one that was tuned.
    """
    rows = Generator.objects.kept().filter(project=project, run__isnull=False).select_related("run")
    curves: dict[str, Curve] = defaultdict(list)
    for number, generator in enumerate(reversed(rows.order_by("-pk")[:VERSIONS]), 1):
        for name, change in generator.held_out.items():
            if not curves[name] or curves[name][-1][0] < number - 1:
                curves[name].append((number - 1, change["before"]))
            curves[name].append((number, change["after"]))
    return dict(curves)


def win_rates_of_generators(project: Project) -> WinRates:
    """Return how often people preferred each generator to the base of its newest study with a vote.

    Beside them stand judges that were asked about a tuned generator and its parent (`record_judge`). In two
    statements.
    """
    rates: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)  # by generator and judge
    studies = Study.objects.filter(project=project, figures__isnull=False).order_by("-pk")
    for study in studies.only("figures")[:VERSIONS]:
        for rate in study.rates:
            if rate.value is not None:
                rates[rate.generator].setdefault(PEOPLE, asdict(rate))
    names = {}
    for pk, name, judges in Generator.objects.filter(project=project).values_list(
        "pk", "name", "metrics__judges"
    ):
        names[pk] = name
        if judges:
            rates[pk] |= judges
    compared = sorted(rates)[-VERSIONS:]
    return WinRates(
        [names[pk] for pk in compared],
        [names[next(iter(rates[pk].values()))["against"]] for pk in compared],
        [
            Preferred(number, judge, rate["value"], rate["low"], rate["high"])
            for number, pk in enumerate(compared)
            for judge, rate in rates[pk].items()
        ],
    )


def newest_images(projects: Collection[int], *, count: int) -> dict[int, list[Picture]]:
    """Return each project's newest images that have files, the newest first, in two statements."""
    collected = Generation.objects.collected().filter(prompt__project=OuterRef("pk"), image__isnull=False)
    rows = Project.objects.filter(pk__in=projects).annotate(
        newest=ArraySubquery(collected.order_by("-pk").values("pk")[:count])
    )
    wanted = {project: ids for project, ids in rows.values_list("pk", "newest") if ids}
    everything = [pk for ids in wanted.values() for pk in ids]
    pictures = {each.generation: each for each in pictures_of(judged_images().filter(pk__in=everything))}
    return {project: [pictures[pk] for pk in ids if pk in pictures] for project, ids in wanted.items()}
