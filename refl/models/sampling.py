"""Making images for a project's prompts."""

from __future__ import annotations

from django.db import models

from refl.models.generators import Generator
from rewardmodel.models import RewardCheckpoint, Run


class SamplingRun(Run):
    """Images for a project's prompts; `config` is a refl.services.sampling.SamplingConfig.

    A step is one image. Nothing is measured, so there are no points.
    """

    command = "generate"
    kind = "sampling"
    inputs = {"generator": "Generator", "checkpoint": "Reward model", "best_by": "Best candidates by"}

    generator = models.ForeignKey(Generator, models.PROTECT, related_name="samplings")
    # Whose doubt chooses among the pool of prompts; null takes the pool's first ones.
    checkpoint = models.ForeignKey(
        RewardCheckpoint, models.PROTECT, null=True, blank=True, related_name="samplings"
    )
    # What keeps the best of an image's candidates; null where each image is the only one.
    best_by = models.ForeignKey(
        RewardCheckpoint, models.PROTECT, null=True, blank=True, related_name="best_of_samplings"
    )

    class Meta(Run.Meta):
        pass
