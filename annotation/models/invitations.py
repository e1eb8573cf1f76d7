"""Links by which people join a project."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from annotation.models.people import Membership, User
from annotation.models.projects import Project


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self, *, now: datetime) -> InvitationQuerySet:
        """Links that can still be used."""
        return self.filter(revoked_at=None, expires_at__gt=now, used__lt=F("uses"))


class Invitation(models.Model):
    """A link by which people join, with limited uses and an expiry. Only its hash is stored."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Membership.Role)
    token_sha256 = models.CharField(max_length=64, unique=True)
    uses = models.PositiveSmallIntegerField()
    used = models.PositiveSmallIntegerField(default=0)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="nobody_is_invited_as_admin",
                condition=Q(role__in=["annotator", "inspector", "researcher"]),
            ),
            models.CheckConstraint(
                name="an_invitation_is_used_as_often_as_it_says",
                condition=Q(uses__gte=1, used__lte=F("uses")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.used} of {self.uses} as {self.role} of {self.project}"
