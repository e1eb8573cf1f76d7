"""What makes images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Project
from annotation.places import on_this_host
from refl.learning.families.lora_files import DIFFUSERS


class GeneratorQuerySet(models.QuerySet["Generator"]):
    def kept(self) -> GeneratorQuerySet:
        """Those that may be tuned further and make images for annotators."""
        return self.filter(kept=True)

    def seen(self) -> GeneratorQuerySet:
        """Those whose pipeline was looked at, when it was registered or by a run."""
        return self.filter(is_seen=True)


class Generator(models.Model):
    """A diffusers pipeline, and how it is sampled from. A tuned one waits to be judged before it is used."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="generators")
    name = models.CharField(max_length=100)
    # A folder, absolute or below the project's root, or a hub id; empty: its run's.
    pipeline = models.CharField("diffusers pipeline", max_length=500, blank=True)
    # A file over the pipeline, absolute or below the project's root.
    lora = models.CharField("LoRA file", max_length=500, blank=True)
    # False of a hub id that could not be looked up when it was registered, until a run has loaded it.
    is_seen = models.BooleanField("its pipeline was looked at", default=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    run = models.OneToOneField("refl.TuningRun", models.PROTECT, null=True, blank=True, related_name="result")
    kept = models.BooleanField(null=True, default=None)  # null until judged
    reason = models.TextField(blank=True)  # why it was kept or not
    # tuned_on, held_out by name: refl.services.judging.Change. guards: refl.learning.outcomes.Outcome.
    # judges by name: an Estimate of how often they prefer it, and `against` which generator.
    metrics = models.JSONField(default=dict)
    steps = models.PositiveSmallIntegerField("denoising steps of a sample", default=50)
    guidance_scale = models.FloatField("guidance scale of a sample, 1 for none", default=7.5)
    # A folder of pairs.jsonl and its images, absolute or below the project's root.
    pretraining = models.CharField("pre-training pairs", max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GeneratorQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="a_generator_name_is_used_once"),
            models.CheckConstraint(
                name="a_tuned_generator_has_a_parent", condition=Q(run=None) | Q(parent__isnull=False)
            ),
            models.CheckConstraint(
                name="a_judged_generator_says_why", condition=Q(kept=None) | ~Q(reason="")
            ),
            models.CheckConstraint(name="a_sample_takes_a_step", condition=Q(steps__gte=1)),
            models.CheckConstraint(name="guidance_is_1_or_more", condition=Q(guidance_scale__gte=1)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def location(self) -> str:
        """The folder or hub id of its pipeline, which `load_family` takes with its `loras`."""
        if self.run is not None and self.parent is not None and self.run.trains_lora:
            return self.parent.location
        if self.run is not None:
            return str(self.run.folder / "pipeline")
        pipeline = on_this_host(self.pipeline)
        shipped: Path = settings.ROOT / pipeline
        return str(shipped) if shipped.is_dir() else pipeline

    @property
    def held_out(self) -> dict[str, Any]:
        """How each reward that it was not tuned on changed, by name; older rows have one, without a name."""
        older = self.metrics.get("independent")
        changes: dict[str, Any] = self.metrics.get("held_out", {"not tuned on": older} if older else {})
        return changes

    @property
    def loras(self) -> list[Path]:
        """The files over its pipeline, in order: what it was tuned from may have some, its run adds one."""
        if self.run is not None and self.parent is not None and self.run.trains_lora:
            return [*self.parent.loras, self.run.folder / "pipeline" / DIFFUSERS]
        return [Path(settings.ROOT) / on_this_host(self.lora)] if self.lora else []

    @property
    def pairs(self) -> Path | None:
        """The folder of its pre-training pairs; None when it has none and so cannot be tuned."""
        return Path(settings.ROOT) / on_this_host(self.pretraining) if self.pretraining else None
