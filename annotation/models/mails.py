"""Mails that were asked for and that no server for mail has taken yet."""

from __future__ import annotations

from django.db import models

from annotation.models.people import User


class RequestedMail(models.Model):
    """A mail to send, until it is sent or given up.

    Attributes:
        address: where it goes; of a reset without `user`, whatever somebody typed.
        link: with `KEY` in it, where the secret part goes, which is made as it is sent.
        not_before: when it is tried next; None: at once.
    """

    class Kind(models.TextChoices):
        RESET = "reset"
        CONFIRMATION = "confirmation"

    kind = models.CharField(max_length=12, choices=Kind)
    user = models.ForeignKey(User, models.CASCADE, null=True, related_name="requested_mails")
    address = models.CharField(max_length=254)
    link = models.TextField()
    requested_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                name="a_confirmation_is_for_a_user",
                condition=~models.Q(kind="confirmation") | models.Q(user__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} mail {self.pk}"
