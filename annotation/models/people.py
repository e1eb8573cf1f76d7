"""Who takes part, and as what."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    """Somebody who signs in. What they may do is said per project by their membership."""


class Membership(models.Model):
    """One person's role in one project."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator"
        INSPECTOR = "inspector"
        RESEARCHER = "researcher"  # answers to compare others' with
        ADMIN = "admin"

    project = models.ForeignKey("annotation.Project", models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_role_per_person_and_project"),
            models.CheckConstraint(
                name="a_role_is_one_of_four",
                condition=models.Q(role__in=["annotator", "inspector", "researcher", "admin"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.project}"
