"""What the loop brought: accuracy over reward models, rewards over generators, the newest pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from annotation.models import Generation, Project
from annotation.selectors.projects.images import Picture, judged_images, pictures_of
from refl.models import Generator
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import Curve

VERSIONS = 100  # newest reward models and generators in a chart


@dataclass(frozen=True)
class Versions:
    """Reward models of a project in order: their accuracy on test pairs, and people's own on the same."""

    accuracy: Curve
    people: Curve


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
