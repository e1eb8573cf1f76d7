"""Reward models, trained by runs or registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from annotation.models import Project
from annotation.places import on_this_host
from annotation.statistics import notation


class RewardCheckpointQuerySet(models.QuerySet["RewardCheckpoint"]):
    def registered(self) -> RewardCheckpointQuerySet:
        """Filter to those that no run produced: what training starts from."""
        return self.filter(run=None)

    def versions(self) -> RewardCheckpointQuerySet:
        """Filter to those that learned from all of a dataset's rankings; others are points of a curve."""
        share = "run__config__train_share"  # absent from runs of before there were parts
        return self.filter(Q(**{f"{share}__isnull": True}) | Q(**{f"{share}__gte": 1}), run__isnull=False)

    def promoted(self) -> RewardCheckpointQuerySet:
        """Filter to those in use, at most one per project, with the run that produced each."""
        return self.filter(promoted=True).select_related("run")

    def waiting(self) -> RewardCheckpointQuerySet:
        """Filter to those that wait for more test pairs, at most one per project, with their runs."""
        return self.filter(verdict=RewardCheckpoint.Verdict.WAITING).select_related("run__dataset")


class RewardCheckpoint(models.Model):
    """One reward model of a project, trained by a run or registered from a folder or the hub.

    `metrics` is empty until it was evaluated, then
    {"dataset", "accuracy", "accuracy_by_prompt", "interval", "pairs", "prompts", "ceiling", "beside"}; beside
    holds, for each model evaluated on the same pairs, the same figures and {"id", "name", "difference",
    "difference_interval", "probability"}: this accuracy minus the other's, with its paired 95 % interval, and
    how probable it is that it is above 0 (which checkpoints measured before that was asked lack).

    `base` beside these, where the project says who made the images: {"generator", "reward", "images"}, the
    median reward of the generator whose images came first, on the validation and test splits.

    `decision` is empty until it was decided whether to promote it, then
    {"rule", "over", "difference", "interval", "probability", "pairs", "prompts", "dataset", "wanted",
    "least", "waits_for", "waits_for_rankings"}: the rule ("sure", "first" or "by hand"); the model that it
    was compared with and what came out, on which dataset's test split; the probability and the least pairs
    that were wanted; and the test pairs that it waits for, about as many as there are when so many rankings
    of the project are finished; 0 where the decision is made. One by hand has what there is of these.
    """

    class Verdict(models.TextChoices):
        """What was decided last; which one is in use, `promoted` says."""

        NONE = "", "not decided"
        BETTER = "better", "better"
        BY_HAND = "by hand", "promoted by hand"
        WAITING = "waiting", "waits for more pairs"
        NOT_BETTER = "not better", "not better"
        SUPERSEDED = "superseded", "superseded while it waited"

    project = models.ForeignKey(Project, models.CASCADE, related_name="reward_checkpoints")
    name = models.CharField(max_length=100)
    folder = models.CharField(max_length=500, blank=True)  # as `to_any_host` has it; empty: its run's
    run = models.OneToOneField(
        "rewardmodel.TrainingRun", models.PROTECT, null=True, related_name="checkpoint"
    )
    metrics = models.JSONField(default=dict)
    verdict = models.CharField(max_length=10, choices=Verdict, blank=True, default=Verdict.NONE)
    decision = models.JSONField(default=dict)
    promoted = models.BooleanField(default=False)
    promoted_at = models.DateTimeField(null=True)  # when last; stays after another took its place
    ordered_at = models.DateTimeField(null=True)  # when it last put open tasks in the order of a design
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RewardCheckpointQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="a_checkpoint_name_is_used_once"),
            models.UniqueConstraint(
                fields=["project"], condition=Q(promoted=True), name="one_checkpoint_is_promoted"
            ),
            models.UniqueConstraint(
                fields=["project"], condition=Q(verdict="waiting"), name="one_checkpoint_waits"
            ),
            models.CheckConstraint(
                name="a_waiting_checkpoint_is_not_promoted",
                condition=~Q(verdict="waiting", promoted=True),
            ),
            models.CheckConstraint(
                name="a_promotion_has_its_time",
                condition=Q(promoted=False) | Q(promoted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return its page, for researchers and admins."""
        return reverse("checkpoint", args=[self.project.slug, self.pk])

    @property
    def location(self) -> str:
        """Where `rewardmodel.learning.load` finds it: a folder, a published file or a hub id."""
        if self.run is not None:
            return str(self.run.folder / "best")
        folder = on_this_host(self.folder)
        shipped: Path = settings.ROOT / folder
        return str(shipped) if shipped.exists() else folder

    @property
    def has_ordered(self) -> bool:
        """Whether it put open tasks in the order of a design since it was promoted last."""
        since = self.promoted_at
        return self.ordered_at is not None and (since is None or self.ordered_at >= since)

    @property
    def base_reward(self) -> float | None:
        """The median reward of the base generator's images; None where it was not measured."""
        base: dict[str, Any] = self.metrics.get("base") or {}
        return base.get("reward")

    @property
    def compared_with(self) -> str:
        """What images scored by it are compared with, to say how probably people prefer them."""
        if self.base_reward is None:
            return "the median of the images it was validated on"
        return f"the median of {self.metrics['base']['generator']}'s images"

    @property
    def decision_in_words(self) -> str:
        """What was decided about promoting it, and how sure that is; "" where nothing was."""
        rule = "by hand" if self.decision.get("rule") == "by hand" else ""
        return "; ".join(filter(None, (rule, self.evidence)))

    @property
    def evidence(self) -> str:
        """How sure the decision is, and what its rule asks for; "" where neither is known."""
        made: dict[str, Any] = self.decision
        if not made:
            return ""
        likely = ""
        if "probability" in made:
            likely = f"{percentage(made['probability'])} likely better than {made['over']}"
            likely += f", on {made['pairs']:,} test pairs"
        if made["rule"] == "by hand":
            return likely
        if made["rule"] == "first":
            return f"{likely}; the first that learns here has to be more accurate, no more"
        if self.verdict == self.Verdict.SUPERSEDED:
            return f"{likely}; another took its place while it waited for more"
        wanted = f"{percentage(made['wanted'])} on {made['least']:,} pairs or more are wanted"
        waits = ""
        if made["waits_for"]:
            waits = (
                f" waits for about {made['waits_for']:,}, that is {made['waits_for_rankings']:,} rankings:"
            )
        return f"{likely};{waits} {wanted}"

    @property
    def accuracy(self) -> float | None:
        """Share of test pairs ordered as people ordered them; None before evaluation."""
        metrics: dict[str, Any] = self.metrics
        return metrics.get("accuracy")


def percentage(probability: float) -> str:
    """0.9472 -> 94.7 %. What is not quite certain is not called so."""
    if 0 < probability < 0.001:
        return "under 0.1 %"
    if 0.999 < probability < 1:
        return "over 99.9 %"
    return notation.percent(probability).replace(".0 %", " %")
