"""Passwords given at the sign-in page, as long as they count against who gave them."""

from __future__ import annotations

from django.db import models


class SignInAttempt(models.Model):
    """One password given and not found right; gone when the same place then gives the right one.

    The name is kept as a digest: people type passwords there too.
    """

    account = models.CharField(max_length=64)
    address = models.CharField(max_length=45)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "at"], name="attempts_by_account"),
            models.Index(fields=["address", "at"], name="attempts_by_address"),
        ]

    def __str__(self) -> str:
        return f"attempt from {self.address}"
