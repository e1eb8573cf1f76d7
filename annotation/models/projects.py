"""Projects: prompts judged under one guideline and one set of settings."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotation.models.axes import Axis, as_axes, as_stored, check_axes
from annotation.models.people import User

# What Discord lets people write to a generator, and so all of DiffusionDB; models read far less of it.
LONGEST_PROMPT = 2000
MOST_LETTERS = 20_000


class Project(models.Model):
    """Prompts judged under one guideline and one set of settings. Defaults are the paper's."""

    class Consistency(models.TextChoices):
        """What happens when a higher-rated image is in a worse slot (ImageReward, appendix B.3)."""

        BLOCK = "block", "Refuse the answer"
        WARN = "warn", "Warn, then accept"
        OFF = "off", "Accept"

    class TaskOrder(models.TextChoices):
        """The order in which open tasks are given out."""

        PROMPT = "prompt", "As imported: all opinions on one prompt, then the next"
        BREADTH = "breadth", "Every prompt once, before any has its second opinion"
        SHUFFLED = "shuffled", "Mixed"
        UNSURE = "unsure", "As the reward model chooses"

    class ChoiceRule(models.TextChoices):
        """How the reward model chooses prompts: for images, and among open tasks that it puts in order.

        That the default needs the fewest rankings was measured: `benchmarks/choosing.py`.
        """

        D_OPTIMAL = "d_optimal", "What together would teach it most (D-optimal)"
        ENTROPY = "entropy", "Where it is least sure of the order"
        RANDOM = "random", "At random"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    asks_label = models.BooleanField("ask for the prompt's category and problems", default=True)
    asks_ratings = models.BooleanField("ask to rate each image", default=True)
    axes = models.JSONField("what images are rated on", null=True, blank=True)  # null: the paper's
    asks_acceptable = models.BooleanField("ask down to which slot images are acceptable", default=False)
    slots = models.PositiveSmallIntegerField(
        "slots of the ranking", default=5, validators=[MinValueValidator(2), MaxValueValidator(9)]
    )
    per_slot = models.PositiveSmallIntegerField(
        "images a slot may hold", default=2, validators=[MinValueValidator(1), MaxValueValidator(9)]
    )
    consistency = models.CharField(max_length=5, choices=Consistency, default=Consistency.BLOCK)
    longest_prompt = models.PositiveIntegerField(
        "letters that a prompt may have",
        default=LONGEST_PROMPT,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_LETTERS)],
    )
    opinions_per_prompt = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    extra_opinions = models.PositiveSmallIntegerField(
        "further opinions where people disagree", default=0, validators=[MaxValueValidator(20)]
    )
    agreement_wanted = models.FloatField(
        "agreement below which one more is asked",
        default=0.7,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
    )
    review_share = models.FloatField(
        "share of answers an inspector checks",
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
    )
    lease_minutes = models.PositiveSmallIntegerField(
        "minutes a task stays reserved", default=60, validators=[MinValueValidator(1)]
    )
    task_order = models.CharField(
        "which tasks come first", max_length=8, choices=TaskOrder, default=TaskOrder.PROMPT
    )
    choice_rule = models.CharField(
        "what the reward model chooses", max_length=9, choices=ChoiceRule, default=ChoiceRule.D_OPTIMAL
    )
    skips_per_hundred = models.PositiveSmallIntegerField(
        "of 100 tasks, how many may be skipped", default=5, validators=[MaxValueValidator(100)]
    )
    gold_share = models.FloatField(
        "share of tasks with a known answer",
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
    )
    repeat_share = models.FloatField(
        "share of tasks asked a second time",
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(0.5)],
    )
    # Kinds of events that its webhooks subscribe to, set by their services: other events cost nothing.
    announced = ArrayField(models.CharField(max_length=30), default=list, editable=False)
    # Answers accepted until then were exported or frozen in a dataset, and can no longer be revised.
    settled_until = models.DateTimeField(null=True, editable=False)
    requires_qualification = models.BooleanField("only the qualified get work", default=False)
    # The agreement of the paper's annotators and researchers: 65 % (Table 2a).
    qualification_threshold = models.FloatField(
        "agreement that qualifies",
        default=0.65,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
    )
    pause_window = models.PositiveSmallIntegerField(
        "latest answers that a pause is judged by", default=20, validators=[MinValueValidator(5)]
    )
    gold_floor = models.FloatField(
        "least agreement with known answers",
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
    )
    seconds_per_image = models.FloatField(
        "least seconds an image", default=0.0, validators=[MinValueValidator(0.0)]
    )
    pauses_place_bias = models.BooleanField("pause who prefers a place on the page", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(name="a_ranking_has_2_to_9_slots", condition=Q(slots__range=(2, 9))),
            models.CheckConstraint(name="a_slot_holds_1_to_9_images", condition=Q(per_slot__range=(1, 9))),
            models.CheckConstraint(
                name="a_longest_prompt_is_1_to_20000", condition=Q(longest_prompt__range=(1, MOST_LETTERS))
            ),
            models.CheckConstraint(name="a_prompt_wants_an_opinion", condition=Q(opinions_per_prompt__gte=1)),
            models.CheckConstraint(
                name="an_order_of_tasks_is_known",
                condition=Q(task_order__in=["prompt", "breadth", "shuffled", "unsure"]),
            ),
            models.CheckConstraint(
                name="a_rule_of_choice_is_known",
                condition=Q(choice_rule__in=["d_optimal", "entropy", "random"]),
            ),
            models.CheckConstraint(
                name="no_more_tasks_are_skipped_than_there_are", condition=Q(skips_per_hundred__lte=100)
            ),
            models.CheckConstraint(name="a_share_is_0_to_1", condition=Q(review_share__range=(0.0, 1.0))),
            models.CheckConstraint(
                name="shares_of_checks_are_0_to_half",
                condition=Q(gold_share__range=(0.0, 0.5), repeat_share__range=(0.0, 0.5)),
            ),
            models.CheckConstraint(
                name="agreement_asked_for_is_0_to_1",
                condition=Q(
                    qualification_threshold__range=(0.0, 1.0),
                    gold_floor__range=(0.0, 1.0),
                    agreement_wanted__range=(0.0, 1.0),
                ),
            ),
            models.CheckConstraint(
                name="pauses_are_judged_by_some_answers",
                condition=Q(pause_window__gte=5, seconds_per_image__gte=0.0),
            ),
            models.CheckConstraint(
                name="consistency_is_block_warn_or_off",
                condition=Q(consistency__in=["block", "warn", "off"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Fill in what the axes leave out. Raises: ValidationError for such as images cannot be rated on."""
        try:
            if self.axes is not None:
                check_axes(self.axes)
                self.axes = as_stored(as_axes(self.axes))
        except ValidationError as error:
            raise ValidationError({"axes": error.messages}) from None

    @property
    def rating_axes(self) -> tuple[Axis, ...]:
        """What images are rated on, in the order asked. The ranking is held against the first."""
        return as_axes(self.axes)

    @property
    def lease(self) -> timedelta:
        return timedelta(minutes=self.lease_minutes)

    @property
    def max_images(self) -> int:
        """The largest number of images that can be placed."""
        return self.slots * self.per_slot


class Guideline(models.Model):
    """One version of the annotators' guideline, in Markdown. A version never changes."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="guidelines")
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["project", "version"], name="guideline_versions_are_distinct")
        ]

    def __str__(self) -> str:
        return f"{self.project}, guideline {self.version}"


class Acknowledgement(models.Model):
    """A user's confirmation of having read one version of the guideline."""

    guideline = models.ForeignKey(Guideline, models.PROTECT, related_name="acknowledgements")
    user = models.ForeignKey(User, models.CASCADE, related_name="acknowledgements")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["guideline", "user"], name="a_guideline_is_acknowledged_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} read {self.guideline}"
