"""Webhooks: the events each subscribes to, the outbox, and the deliveries."""

from __future__ import annotations

import base64
import hmac
import uuid
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotation.models.people import User
from annotation.models.projects import Project
from annotation.registry import EventKind


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def wanting(self, kind: EventKind, project: Project) -> WebhookQuerySet:
        return self.filter(project=project, enabled=True, kinds__contains=[kind])


class Webhook(models.Model):
    """An address to which events of one project are posted."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    kinds = ArrayField(models.CharField(max_length=30))
    enabled = models.BooleanField(default=True)
    salt = models.UUIDField(default=uuid.uuid4)  # a new salt makes a new secret
    old_salt = models.UUIDField(null=True)  # of the previous secret, which also signs until old_until
    old_until = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.url

    def keys(self, *, now: datetime) -> list[bytes]:
        """Return the 32-byte signing keys: the current one, and the previous one until it expires."""
        old_salt = self.old_salt if self.old_until and self.old_until > now else None
        return [_key(salt) for salt in (self.salt, old_salt) if salt]

    @property
    def secret(self) -> str:
        """The secret in the receivers' format (standardwebhooks.com)."""
        return f"whsec_{base64.b64encode(_key(self.salt)).decode()}"


def _key(salt: uuid.UUID) -> bytes:
    """Derive the key from one outside the database too, so that a copy of the database cannot sign."""
    return hmac.digest(settings.WEBHOOK_KEY, salt.hex.encode(), "sha256")


class Event(models.Model):
    """An event, written in the transaction of the change. Receivers identify it by its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    project = models.ForeignKey(Project, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=30)
    data = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, *, now: datetime) -> DeliveryQuerySet:
        """Deliveries to send now, the longest waiting first; none of disabled webhooks."""
        deliveries = self.filter(state=Delivery.State.WAITING, not_before__lte=now, webhook__enabled=True)
        return deliveries.order_by("not_before", "pk")


class Delivery(models.Model):
    """The delivery of one event to one webhook. `attempts` fences off workers presumed dead."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"  # after the last attempt

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)  # the last attempt
    seconds = models.FloatField(null=True)  # that it took
    status = models.PositiveSmallIntegerField(null=True)  # of the response, if there was one
    error = models.TextField(blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["not_before", "id"], condition=Q(state="waiting"), name="deliveries_due")
        ]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event"], name="a_webhook_is_told_an_event_once"),
            models.CheckConstraint(
                name="a_delivery_state_is_known",
                condition=Q(state__in=["waiting", "delivered", "failed"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"
