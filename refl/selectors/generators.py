"""Find the generator to tune or sample next, and the reward model that may judge it."""

from __future__ import annotations

from annotation.models import Project
from refl.models import Generator, SamplingRun, TuningRun
from rewardmodel.models import RewardCheckpoint


class NoGenerator(Exception):
    """The project has no generator that may be used."""


def newest_kept(project: Project) -> Generator:
    """Return the generator that is tuned next and makes the next images.

    One whose pipeline nobody has looked at yet is passed over: its name may be mistyped.

    Raises: NoGenerator.
    """
    kept = Generator.objects.kept().filter(project=project).order_by("-pk")
    generator = kept.seen().first()
    if generator is None and kept:
        raise NoGenerator(f"{project.slug}: {kept[0]} is not seen yet; name it in a run, which loads it")
    if generator is None:
        raise NoGenerator(f"{project.slug}: no generator is kept; register one")
    return generator


def untried_promotion(project: Project) -> RewardCheckpoint | None:
    """Return the promoted reward model if rankings trained it and no tuning was queued with it since."""
    promoted = RewardCheckpoint.objects.filter(project=project, promoted=True, run__isnull=False).first()
    if promoted is None:
        return None
    since = TuningRun.objects.filter(checkpoint=promoted, created_at__gte=promoted.promoted_at)
    return None if since.exists() else promoted


def unsampled_generator(project: Project) -> Generator | None:
    """Return the newest kept generator if a tuning made it and no sampling was queued for it."""
    newest = Generator.objects.kept().seen().filter(project=project).order_by("-pk").first()
    if newest is None or newest.run is None or SamplingRun.objects.filter(generator=newest).exists():
        return None
    return newest
