"""Users, their roles in projects, and their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.crypto import salted_hmac

from annotation.names import SKELETON_LENGTH, skeleton

IMPORTED = "imported:"  # prefix of the usernames that imported answers are attributed to


class SkeletonField(models.CharField):  # type: ignore[type-arg]  # no generic class at run time
    """The skeleton of the user name, written with every row, so that the database compares names by it.

    Null, and left alone: for accounts that looked alike before names were compared, and for those of imported
    answers, to which nobody signs in.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> str | None:
        assert isinstance(model_instance, User)
        if add or model_instance.skeleton is not None:
            name = model_instance.username
            model_instance.skeleton = None if name.startswith(IMPORTED) else skeleton(name)
        return model_instance.skeleton

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        """Be a plain field to migrations, which import no code of the app."""
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.CharField", list(arguments), options


class User(AbstractUser):
    """A user account. Permissions come from its membership in each project."""

    # Of a request with a token: the project that it is for, else None. See access.reaches.
    only_project: int | None = None

    sessions_version = models.PositiveIntegerField(default=1)  # incremented to end all sessions
    skeleton = SkeletonField(max_length=SKELETON_LENGTH, null=True, unique=True, editable=False)

    def clean(self) -> None:
        """Refuse a name that looks like another's. Raises: ValidationError."""
        super().clean()
        is_compared = self.pk is None or self.skeleton is not None
        alike = User.objects.filter(skeleton=skeleton(self.username)).exclude(pk=self.pk)
        if is_compared and alike.exists():
            raise ValidationError({"username": "There is an account whose name looks like this already."})

    def get_session_auth_hash(self) -> str:
        """Return the hash that keeps a session valid; it changes with the password and `sessions_version`."""
        return self._session_hash()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Yield the hashes for sessions begun under earlier SECRET_KEYs."""
        for key in settings.SECRET_KEY_FALLBACKS:
            yield self._session_hash(key)

    def _session_hash(self, key: str | bytes | None = None) -> str:
        content = f"{self.sessions_version} {self.password}"
        return salted_hmac("annotation.session", content, secret=key, algorithm="sha256").hexdigest()


class Membership(models.Model):
    """One person's role in one project."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator"
        INSPECTOR = "inspector"
        RESEARCHER = "researcher"  # gives reference answers
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


class SignInAttempt(models.Model):
    """A failed password attempt; deleted when the same address then gives the right password.

    The name is stored as a digest, because people type passwords there by mistake.
    """

    account = models.CharField(max_length=64)
    address = models.CharField(max_length=45)
    device = models.CharField(max_length=64, blank=True)  # of a browser that signed in before, else blank
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = [
            models.Index(fields=["account", "at"], name="attempts_by_account"),
            models.Index(fields=["address", "at"], name="attempts_by_address"),
        ]

    def __str__(self) -> str:
        return f"attempt from {self.address}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def valid(self, *, now: datetime) -> ApiTokenQuerySet:
        """Tokens that have not expired, of active users."""
        lasting = Q(expires_at=None) | Q(expires_at__gt=now)
        return self.filter(lasting, user__is_active=True)


class ApiToken(models.Model):
    """Lets a program act as its owner. Only a digest is stored: a copy of the database gives no access."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)  # sha256, hex
    hint = models.CharField(max_length=12)  # of the secret, so that its owner can tell tokens apart
    # Null: for every project of its owner.
    project = models.ForeignKey("annotation.Project", models.CASCADE, null=True, related_name="api_tokens")
    reads_only = models.BooleanField(default=False)  # its requests may not change data
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)  # null: never
    last_used_at = models.DateTimeField(null=True)  # to the hour

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
