"""Three stages of answers: label the prompt, rate each image, place all images (ImageReward, appendix B)."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.lookups import Exact

from annotation.models.assignments import Assignment
from annotation.models.axes import FIELDS, SCALE, points_of
from annotation.models.prompts import Generation


class Category(models.TextChoices):
    """The twelve categories of PartiPrompts, which the paper uses."""

    ABSTRACT = "abstract", "Abstract"
    ANIMALS = "animals", "Animals"
    ARTIFACTS = "artifacts", "Artifacts"
    ARTS = "arts", "Arts"
    FOOD = "food", "Food & drink"
    ILLUSTRATIONS = "illustrations", "Illustrations"
    INDOOR = "indoor", "Indoor scenes"
    OUTDOOR = "outdoor", "Outdoor scenes"
    PEOPLE = "people", "People"
    PLANTS = "plants", "Plants"
    VEHICLES = "vehicles", "Vehicles"
    WORLD = "world", "World knowledge"


class Issue(models.TextChoices):
    SEXUAL = "sexual", "Sexual content"
    VIOLENT = "violent", "Violence"
    DEFAMING = "defaming", "Demeans a group of people"
    PERSONAL = "personal", "Identifies a private person"


class Problem(models.TextChoices):
    REPEATED = "repeated", "Repeated objects or patterns"
    BODY = "body", "Wrong or broken body parts"
    BLURRY = "blurry", "Too blurry to make out"
    DISTURBING = "disturbing", "Disturbing to look at"
    SEXUAL = "sexual", "Sexual content"
    VIOLENT = "violent", "Violence"
    DEFAMING = "defaming", "Demeans a group of people"


# Whether a point of a JSON object is none from 1 to 7.
OFF_SCALE = {
    "template": "jsonb_path_exists(%(expressions)s, "
    """'$.* ? (@.type() != "number" || @ < 1 || @ > 7 || @.floor() != @)')"""
}
# Problems for which an image is hidden by default.
HARMFUL = (Problem.DISTURBING, Problem.SEXUAL, Problem.VIOLENT, Problem.DEFAMING)


class PromptLabel(models.Model):
    """Stage 1: the prompt's category and issues."""

    assignment = models.OneToOneField(Assignment, models.CASCADE, related_name="label")
    category = models.CharField(max_length=13, choices=Category)
    # Null: unknown, because the label was imported without them.
    intent_unclear = models.BooleanField(null=True)
    issues = ArrayField(models.CharField(max_length=8, choices=Issue), null=True)  # empty: none

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_category_is_one_of_twelve",
                condition=Q(category__in=Category.values),
            ),
            models.CheckConstraint(
                name="issues_are_known",
                condition=Q(issues__contained_by=Issue.values),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.category} ({self.assignment})"


class Rating(models.Model):
    """Stage 2: one image on the project's axes, from 1 to 7 each, and its problems.

    `others` has the points on axes that are none of the paper's, by name; null where there are none.
    """

    assignment = models.ForeignKey(Assignment, models.CASCADE, related_name="ratings")
    generation = models.ForeignKey(Generation, models.PROTECT, related_name="ratings")
    # Null: the project has no such axis.
    overall = models.PositiveSmallIntegerField(null=True)
    alignment = models.PositiveSmallIntegerField(null=True)
    fidelity = models.PositiveSmallIntegerField(null=True)
    others = models.JSONField(null=True)
    # Empty: none. Null: unknown, because the rating was imported without them.
    problems = ArrayField(models.CharField(max_length=10, choices=Problem), null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "generation"], name="an_image_is_rated_once"),
            models.CheckConstraint(
                name="ratings_are_1_to_7",
                condition=Q(overall__range=SCALE, alignment__range=SCALE, fidelity__range=SCALE),
            ),
            models.CheckConstraint(
                name="ratings_on_other_axes_are_1_to_7",
                condition=Exact(
                    models.Func("others", **OFF_SCALE, output_field=models.BooleanField()), False
                ),
            ),
            models.CheckConstraint(
                name="an_image_is_rated_on_some_axis",
                condition=Q(*((f"{name}__isnull", False) for name in FIELDS), _connector=Q.OR),
            ),
            models.CheckConstraint(
                name="problems_are_known",
                condition=Q(problems__contained_by=Problem.values),
            ),
        ]

    def __str__(self) -> str:
        return "/".join(map(str, self.points.values()))

    @property
    def points(self) -> dict[str, int]:
        """The point on each axis, by its name."""
        return points_of(*(getattr(self, name) for name in FIELDS))


class Ranking(models.Model):
    """Stage 3: all images of one assignment in slots."""

    assignment = models.OneToOneField(Assignment, models.CASCADE, related_name="ranking")
    # Images in slots 1 to here are acceptable; 0: none of these is. Null: not asked.
    acceptable_slots = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="acceptable_slots_are_0_to_9", condition=Q(acceptable_slots__range=(0, 9))
            )
        ]

    def __str__(self) -> str:
        return f"ranking of {self.assignment}"


class Placement(models.Model):
    """An image's slot: 1 is best, equal slots tie, slots may stay empty."""

    ranking = models.ForeignKey(Ranking, models.CASCADE, related_name="placements")
    generation = models.ForeignKey(Generation, models.PROTECT, related_name="placements")
    slot = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["slot", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["ranking", "generation"], name="an_image_is_placed_once"),
            models.CheckConstraint(name="slots_are_1_to_9", condition=Q(slot__range=(1, 9))),
        ]

    def __str__(self) -> str:
        return f"{self.generation} in slot {self.slot}"


class Revision(models.Model):
    """An earlier version of a revised answer. The database refuses updates and deletes.

    `said` is {"label": {..} or null, "ratings": {generation id: {..}}, "slots": {generation id: slot}}, and
    "acceptable_slots" where the project asks for it.
    """

    assignment = models.ForeignKey(Assignment, models.PROTECT, related_name="revisions")
    number = models.PositiveSmallIntegerField()  # 1 is what was submitted
    said = models.JSONField()
    replaced_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["assignment", "number"], name="an_answer_has_each_revision_once"),
            models.CheckConstraint(name="revisions_count_from_1", condition=models.Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.assignment}"
