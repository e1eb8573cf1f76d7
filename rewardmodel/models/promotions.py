"""How sure a project wants to be before a new reward model takes the place of the promoted one."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotation.models import Project
from annotation.statistics.superiority import Rule

# Ours. At 0.95 a model that is no better is promoted one time in twenty at one look, and about one in ten
# where it waits and is looked at again. 100 pairs are the rankings of four images on some twenty prompts;
# with fewer the former share is no longer what the rule says.
PROBABILITY = 0.95
PAIRS = 100
LOWEST, HIGHEST = 0.5, 0.999


class PromotionRule(models.Model):
    """A project's setting; a project without a row has the defaults."""

    project = models.OneToOneField(Project, models.CASCADE, related_name="promotion_rule")
    probability = models.FloatField(
        "probability wanted",
        default=PROBABILITY,
        validators=[MinValueValidator(LOWEST), MaxValueValidator(HIGHEST)],
        help_text="That the new model orders more test pairs as people do than the promoted one, "
        "from 0.5 (more likely than not) to 0.999.",
    )
    pairs = models.PositiveIntegerField(
        "test pairs at least",
        default=PAIRS,
        validators=[MinValueValidator(1)],
        help_text="On fewer a better model waits for more.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_promotion_wants_a_probability",
                condition=Q(probability__gte=LOWEST, probability__lte=HIGHEST),
            ),
            models.CheckConstraint(name="a_promotion_wants_a_test_pair", condition=Q(pairs__gte=1)),
        ]

    @classmethod
    def of(cls, project: Project) -> PromotionRule:
        """Return the project's rule as it is set, else one of the defaults, which is not stored."""
        return cls.objects.filter(project=project).first() or cls(project=project)

    def __str__(self) -> str:
        return f"promotion rule of {self.project}"

    @property
    def rule(self) -> Rule:
        return Rule(probability=self.probability, pairs=self.pairs)
