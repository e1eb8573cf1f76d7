"""The outbox: events for the webhooks that subscribe to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from annotation.models import Delivery, Event, Project, Webhook
from annotation.registry import EventKind

KEPT = timedelta(days=30)


@transaction.atomic(savepoint=False)
def announce(kind: EventKind, *, project: Project, data: Mapping[str, Any]) -> Event | None:
    """Put an event into the outbox, within the transaction of the change that it announces.

    Without a webhook that subscribes to it, as in most projects, no query is made: submitting stays fast.
    Workers poll the outbox every few seconds.

    Args: data: JSON; ids and names, only what a receiver could also read through the API.
    """
    if kind not in project.announced:
        return None
    wanting = list(Webhook.objects.wanting(kind, project))
    return _post(kind, project, data, wanting) if wanting else None


@transaction.atomic
def announce_to(webhook: Webhook, kind: EventKind, *, data: Mapping[str, Any]) -> Event:
    """Send an event to a single webhook, whether or not it subscribes to the kind."""
    return _post(kind, webhook.project, data, [webhook])


def forget_events(*, now: datetime) -> None:
    """Delete old events with their deliveries."""
    Event.objects.filter(created_at__lt=now - KEPT).delete()


def _post(kind: EventKind, project: Project, data: Mapping[str, Any], webhooks: list[Webhook]) -> Event:
    event = Event.objects.create(project=project, kind=kind, data=dict(data))
    Delivery.objects.bulk_create(Delivery(webhook=webhook, event=event) for webhook in webhooks)
    return event
