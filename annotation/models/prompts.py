"""Prompts, and the images that generators made for them."""

from __future__ import annotations

from django.db import models

from annotation.models.images import Image
from annotation.models.projects import Project

KEY_LENGTH, SOURCE_LENGTH, GENERATOR_LENGTH = 200, 500, 200


class Split(models.TextChoices):
    """What a published dataset uses a prompt for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class CollectedPrompts(models.Manager["Prompt"]):
    """Prompts that preferences are collected on, without those of blind studies.

    It is the default, so that whoever lists, counts or learns from prompts need not know of studies.
    """

    def get_queryset(self) -> models.QuerySet[Prompt]:
        return super().get_queryset().filter(is_of_study=False)


class Prompt(models.Model):
    """One text that images were or will be made for."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompts")
    key = models.CharField(max_length=KEY_LENGTH)  # the importer's id
    text = models.TextField()
    translation = models.TextField(blank=True)  # shown beside the text
    published_split = models.CharField(max_length=10, choices=Split, blank=True)  # "": published in none
    created_at = models.DateTimeField(auto_now_add=True)
    # The agreement of the finished opinions, 0 to 1, and their number when it was measured.
    agreement = models.FloatField(null=True)
    opinions_compared = models.PositiveSmallIntegerField(default=0)
    # It is a task of a blind study: its answers compare generators, and are no preferences.
    is_of_study = models.BooleanField(default=False)
    # Since when nobody is asked about it any more, and its answers stay as they are.
    closed_at = models.DateTimeField(null=True)

    objects = CollectedPrompts()
    everything: models.Manager[Prompt] = models.Manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="a_prompt_key_is_used_once"),
            models.CheckConstraint(name="a_prompt_says_something", condition=~models.Q(text="")),
            models.CheckConstraint(
                name="a_published_split_is_known",
                condition=models.Q(published_split__in=["", *Split.values]),
            ),
        ]

    def __str__(self) -> str:
        return self.text


class GenerationQuerySet(models.QuerySet["Generation"]):
    def collected(self) -> GenerationQuerySet:
        """Images of the prompts that preferences are collected on, without those of studies."""
        return self.filter(prompt__is_of_study=False)


class Generation(models.Model):
    """One image made for one prompt. `image` is null only if rankings were imported without files."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="generations")
    image = models.ForeignKey(Image, models.PROTECT, null=True, related_name="generations")
    source = models.CharField(max_length=SOURCE_LENGTH)  # the file's name as imported and exported
    generator = models.CharField(max_length=GENERATOR_LENGTH, blank=True)
    seed = models.BigIntegerField(null=True)
    parameters = models.JSONField(default=dict)
    is_flagged = models.BooleanField(default=False)  # marked at import as possibly harmful: blurred
    # The promoted reward model's score, for admins' eyes; written by the app above through a service.
    score = models.FloatField(null=True)
    # Nats in a unit of that score, so that the sigmoid of a margin is a probability. Null: scored before
    # it was kept, and taken for nats.
    score_scale = models.FloatField(null=True)
    scored_by = models.CharField(max_length=200, blank=True)
    # Where that score stands: 0 to 100, the share of the images with a lower one that the model was validated
    # on; and 0 to 1, how probably people prefer it to the base's. Null where the model does not know.
    score_percentile = models.FloatField(null=True)
    score_preferred = models.FloatField(null=True)
    scored_unseen = models.BooleanField(default=False)  # that model was not trained on this prompt
    created_at = models.DateTimeField(auto_now_add=True)

    objects = GenerationQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "image"], name="a_prompt_has_an_image_once"),
            models.UniqueConstraint(fields=["prompt", "source"], name="a_prompt_has_a_source_once"),
        ]
        indexes = [
            models.Index(
                fields=["scored_by", "score"], condition=models.Q(score__isnull=False), name="images_by_score"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} for {self.prompt.key}"
