"""Webhooks: created, changed and tested by a project's admins."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from annotation.models import Action, Delivery, Event, Project, User, Webhook
from annotation.registry import EVENTS, EventKind
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce_to
from annotation.services.webhooks.posting import Target

PING = EventKind("ping")  # sent on request only: no webhook subscribes to it
OVERLAP = timedelta(days=1)  # how long receivers have to take up a new secret


@transaction.atomic
def create_webhook(*, project: Project, url: str, kinds: Iterable[str], by: User) -> Webhook:
    """Create a webhook that receives events of these kinds.

    Raises: BadAddress; ValueError for an unknown kind.
    """
    Target.parse(url, private=settings.WEBHOOKS_TO_PRIVATE_ADDRESSES)
    kinds = list(kinds)
    if unknown := set(kinds) - EVENTS.keys():
        raise ValueError(f"no event is called {', '.join(sorted(unknown))}")
    webhook = Webhook.objects.create(project=project, url=url, kinds=kinds, created_by=by)
    _note_kinds(project)
    record_action(Action.Kind.WEBHOOK_MADE, project=project, by=by, subject=url, kinds=kinds)
    return webhook


@transaction.atomic
def enable_webhook(webhook: Webhook, *, enabled: bool, by: User) -> None:
    """Enable or disable the webhook. While disabled it gets no new events; waiting deliveries stay."""
    webhook.enabled = enabled
    webhook.save(update_fields=["enabled"])
    _note_kinds(webhook.project)
    _log(Action.Kind.WEBHOOK_SWITCHED, webhook, by, enabled=enabled)


@transaction.atomic
def renew_secret(webhook: Webhook, *, by: User, now: datetime) -> str:
    """Replace the webhook's secret; for a day, deliveries are signed with the old one too.

    A second renewal ends the first secret at once. Returns: the secret for the receiver.
    """
    webhook.old_salt, webhook.old_until = webhook.salt, now + OVERLAP
    webhook.salt = uuid.uuid4()
    webhook.save(update_fields=["salt", "old_salt", "old_until"])
    _log(Action.Kind.WEBHOOK_RENEWED, webhook, by)
    return webhook.secret


@transaction.atomic
def delete_webhook(webhook: Webhook, *, by: User) -> None:
    """Delete a webhook with all its deliveries, including waiting ones."""
    _log(Action.Kind.WEBHOOK_DELETED, webhook, by)
    webhook.delete()
    _note_kinds(webhook.project)


@transaction.atomic
def ping(webhook: Webhook, *, by: User) -> Event:
    """Send a test event."""
    _log(Action.Kind.WEBHOOK_TRIED, webhook, by, event=PING)
    return announce_to(webhook, PING, data={})


@transaction.atomic
def redeliver(delivery: Delivery, *, by: User, now: datetime) -> None:
    """Send the same event again, with a full set of attempts."""
    delivery.state, delivery.not_before, delivery.attempts = Delivery.State.WAITING, now, 0
    delivery.save(update_fields=["state", "not_before", "attempts"])
    _log(Action.Kind.WEBHOOK_TRIED, delivery.webhook, by, event=delivery.event.kind)


def _log(kind: Action.Kind, webhook: Webhook, by: User, **details: Any) -> None:
    record_action(kind, project=webhook.project_id, by=by, subject=webhook.url, **details)


def _note_kinds(project: Project) -> None:
    """Update the kinds of events that the project's webhooks subscribe to, under a lock on the project."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    kinds_by_webhook = project.webhooks.filter(enabled=True).values_list("kinds", flat=True)
    project.announced = sorted({kind for kinds in kinds_by_webhook for kind in kinds})
    project.save(update_fields=["announced"])
