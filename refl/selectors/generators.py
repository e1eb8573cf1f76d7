"""Which generator is next, and what may speak for it."""

from __future__ import annotations

from annotation.models import Project
from refl.models import Generator, SamplingRun, TuningRun
from rewardmodel.models import RewardCheckpoint


class NoGenerator(Exception):
    """The project has no generator that may be used."""


def newest_kept(project: Project) -> Generator:
    """The generator that is tuned next and makes the next images. Raises: NoGenerator."""
    found = Generator.objects.kept().filter(project=project).order_by("-pk").first()
    if found is None:
        raise NoGenerator(f"{project.slug}: no generator is kept; register one")
    return found


def independent_checkpoint(run: TuningRun) -> RewardCheckpoint | None:
    """What judges the run's generator: the reward model registered last, which no ranking here shaped.

    None when there is none, or the run tuned on it.
    """
    registered = RewardCheckpoint.objects.registered().filter(project=run.project)
    return registered.exclude(pk=run.checkpoint_id).order_by("-pk").first()


def untried_promotion(project: Project) -> RewardCheckpoint | None:
    """The promoted reward model, if rankings taught it and no tuning was queued with it since then."""
    promoted = RewardCheckpoint.objects.filter(project=project, promoted=True, run__isnull=False).first()
    if promoted is None:
        return None
    since = TuningRun.objects.filter(checkpoint=promoted, created_at__gte=promoted.promoted_at)
    return None if since.exists() else promoted


def unsampled_generator(project: Project) -> Generator | None:
    """The newest kept generator, if a tuning made it and it was never asked for images."""
    newest = Generator.objects.kept().filter(project=project).order_by("-pk").first()
    if newest is None or newest.run is None or SamplingRun.objects.filter(generator=newest).exists():
        return None
    return newest
