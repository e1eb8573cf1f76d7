"""Tuning a generator with a reward model: runs, and what starts them by itself."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from annotation.models import Project
from refl.models.generators import Generator
from rewardmodel.models import Point, RewardCheckpoint, Run


class TuningRun(Run):
    """A ReFL run from one generator to the next; `config` is a refl.learning.config.TuningConfig."""

    command = "tune_generator"
    kind = "tuning"
    can_be_shared = True
    inputs = {"generator": "Generator", "checkpoint": "Reward model"}

    generator = models.ForeignKey(Generator, models.PROTECT, related_name="tunings")  # the one it starts from
    checkpoint = models.ForeignKey(RewardCheckpoint, models.PROTECT, related_name="tunings")

    class Meta(Run.Meta):
        pass

    @property
    def trains_lora(self) -> bool:
        """Whether its result is a LoRA for the pipeline that it starts from, not a pipeline."""
        return bool(self.config.get("weights") == "lora")  # unchecked: its page must open whatever is stored


class TuningPoint(Point):
    """Reward and losses of one update."""

    run = models.ForeignKey(TuningRun, models.CASCADE, related_name="points")

    class Meta(Point.Meta):
        pass


class TuningPolicy(models.Model):
    """How a project tunes its generator, and what it asks of the tuned one. All defaults are ours."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="tuning_policy")
    enabled = models.BooleanField("tune and generate by itself", default=False)
    config = models.JSONField(default=dict, blank=True)  # fields of refl.learning.config.TuningConfig
    prompts_per_round = models.PositiveIntegerField(
        "prompts that get images after a tuning", default=64, validators=[MinValueValidator(1)]
    )
    images_per_prompt = models.PositiveSmallIntegerField(default=4, validators=[MinValueValidator(2)])
    pool_factor = models.PositiveSmallIntegerField(
        "prompts tried for each that is kept",
        default=4,
        validators=[MinValueValidator(1)],
    )

    class Meta:
        verbose_name_plural = "tuning policies"
        constraints = [
            models.CheckConstraint(name="a_round_has_a_prompt", condition=Q(prompts_per_round__gte=1)),
            models.CheckConstraint(name="a_prompt_gets_2_images", condition=Q(images_per_prompt__gte=2)),
            models.CheckConstraint(name="a_pool_is_a_round_or_more", condition=Q(pool_factor__gte=1)),
        ]

    def __str__(self) -> str:
        return f"tuning of {self.project}"
