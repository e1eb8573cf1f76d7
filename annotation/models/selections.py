"""Selections of prompts to annotate, and the text vectors they are based on."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.projects import Project
from annotation.models.prompts import Prompt


class Encoder(models.Model):
    """A text encoder. Vectors can be compared only within one encoder."""

    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=64, unique=True)  # sha256 of everything that determines its vectors

    def __str__(self) -> str:
        return f"{self.name} ({self.digest[:12]})"


class TextVector(models.Model):
    """The vector of one text: float32, little-endian; shared by all prompts with this text."""

    encoder = models.ForeignKey(Encoder, models.CASCADE, related_name="vectors")
    text_sha256 = models.CharField(max_length=64)
    vector = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["encoder", "text_sha256"], name="an_encoder_reads_a_text_once")
        ]

    def __str__(self) -> str:
        return self.text_sha256[:12]


class PromptSelectionQuerySet(models.QuerySet["PromptSelection"]):
    def finished(self) -> PromptSelectionQuerySet:
        return self.filter(finished_at__isnull=False)


class PromptSelection(models.Model):
    """Prompts of a project chosen by the paper's graph. Images are made for those of the newest finished one.

    `sets` has for each set of the graph: prompts, chosen, covered (chosen, or voting for one that is), and
    covered_by_chance (the mean of a random draw of as many).
    """

    project = models.ForeignKey(Project, models.CASCADE, related_name="selections")
    config = models.JSONField()  # how the prompts were selected
    encoder = models.ForeignKey(Encoder, models.PROTECT, related_name="selections")
    candidates = models.PositiveIntegerField()  # number of prompts
    exact_duplicates = models.PositiveIntegerField()
    near_duplicates = models.PositiveIntegerField()
    sets = models.JSONField(default=list)
    # width, height, shares of the variance, and columns of at most so many prompts: prompts (ids), x, y
    plane = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    objects = PromptSelectionQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="a_finished_selection_can_be_drawn",
                condition=Q(finished_at=None) | Q(plane__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"selection {self.pk}"

    @property
    def distinct(self) -> int:
        """The number of candidates without duplicates."""
        return self.candidates - self.exact_duplicates - self.near_duplicates

    @property
    def coverage(self) -> float:
        """The share of distinct prompts that are chosen, or vote for a chosen one."""
        return float(sum(entry["covered"] for entry in self.sets)) / max(1, self.distinct)

    @property
    def coverage_by_chance(self) -> float:
        """The mean coverage of a random draw."""
        return float(sum(entry["covered_by_chance"] for entry in self.sets)) / max(1, self.distinct)


class ChosenPrompt(models.Model):
    """A chosen prompt of a selection, with its votes at the time it was chosen."""

    selection = models.ForeignKey(PromptSelection, models.CASCADE, related_name="chosen")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="choices")
    set_number = models.PositiveIntegerField()  # from 1
    place = models.PositiveIntegerField()  # in its set, 1 was chosen first
    score = models.FloatField()
    voters = models.PositiveIntegerField()

    class Meta:
        ordering = ["place", "set_number"]
        constraints = [
            models.UniqueConstraint(fields=["selection", "prompt"], name="a_prompt_is_chosen_once"),
            models.UniqueConstraint(
                fields=["selection", "set_number", "place"], name="a_place_of_a_set_is_taken_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prompt_id} in {self.selection}"
