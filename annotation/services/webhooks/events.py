"""The outbox: what happened, for those who asked to be told."""

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
    """Put an event into the outbox, within the transaction of what it announces: both happen, or neither.

    No statement where nobody asked to be told, as in most projects: submitting an answer is kept quick.
    Workers look into the outbox every few seconds.

    Args: data: JSON; ids and names, nothing that a receiver could not read by the API.
    """
    if kind not in project.announced:
        return None
    wanting = list(Webhook.objects.wanting(kind, project))
    return _post(kind, project, data, wanting) if wanting else None


@transaction.atomic
def announce_to(webhook: Webhook, kind: EventKind, *, data: Mapping[str, Any]) -> Event:
    """Tell one webhook alone, whatever it asked for."""
    return _post(kind, webhook.project, data, [webhook])


def forget_events(*, now: datetime) -> None:
    """Delete what lies in the outbox for longer than anybody looks at it."""
    Event.objects.filter(created_at__lt=now - KEPT).delete()


def _post(kind: EventKind, project: Project, data: Mapping[str, Any], webhooks: list[Webhook]) -> Event:
    event = Event.objects.create(project=project, kind=kind, data=dict(data))
    Delivery.objects.bulk_create(Delivery(webhook=webhook, event=event) for webhook in webhooks)
    return event
