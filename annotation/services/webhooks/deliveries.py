"""Emptying the outbox: each event to each webhook at least once, signed, later and later when it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from annotation.models import Delivery, Event, Webhook
from annotation.services.webhooks.posting import BadAddress, Target, Undeliverable, post

# So long after its first, second ... failed attempt an event is sent again; after the last it has failed.
BACK_OFF = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=16),
)
LEASE = timedelta(minutes=2)  # a worker that has not said how an attempt went is given up for dead
SWEEP = timedelta(seconds=20)  # other tasks wait for this worker too


def send_due(*, clock: Callable[[], datetime]) -> int:
    """Send what is due, for a while. A webhook that fails is not tried again in the same sweep.

    Returns: how many attempts were made.
    """
    begun, attempts = clock(), 0
    failing: set[int] = set()
    while clock() < begun + SWEEP:
        delivery = claim_due(now=clock(), passing_over=failing)
        if delivery is None:
            break
        attempts += 1
        if not attempt(delivery, clock=clock):
            failing.add(delivery.webhook_id)
    return attempts


@transaction.atomic
def claim_due(*, now: datetime, passing_over: Collection[int] = ()) -> Delivery | None:
    """Take the delivery that is due longest; others do not see it before the lease ends."""
    due = Delivery.objects.due(now=now).exclude(webhook__in=passing_over)
    rows = due.select_for_update(skip_locked=True, of=("self",)).select_related("webhook", "event__project")
    delivery = rows.first()
    if delivery is not None:
        delivery.attempts += 1
        delivery.not_before = now + LEASE
        delivery.save(update_fields=["attempts", "not_before"])
    return delivery


def attempt(delivery: Delivery, *, clock: Callable[[], datetime]) -> bool:
    """Send a claimed delivery once and record how it went. Returns: whether it arrived."""
    webhook, begun = delivery.webhook, clock()
    body = body_of(delivery.event)
    status, error = None, ""
    try:
        target = Target.parse(webhook.url, private=settings.WEBHOOKS_TO_PRIVATE_ADDRESSES)
        status = post(target, body=body, headers=headers_for(webhook, delivery.event, body, now=begun))
    except (BadAddress, Undeliverable) as refusal:
        error = str(refusal)
    arrived = status is not None and 200 <= status < 300
    if status is not None and not arrived:
        error = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    _record(delivery, arrived=arrived, status=status, error=error, begun=begun, now=clock())
    return arrived


def body_of(event: Event) -> bytes:
    """Return what is sent: the same bytes at each attempt."""
    message = {
        "id": str(event.pk),
        "type": event.kind,
        "timestamp": event.created_at.isoformat(),
        "project": event.project.slug,
        "data": event.data,
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def headers_for(webhook: Webhook, event: Event, body: bytes, *, now: datetime) -> dict[str, str]:
    """Return the headers of one attempt. The signature covers the time: an old message cannot be sent anew.

    While two secrets hold there are two signatures, of which a receiver needs to know one.

    Source: github.com/standard-webhooks/standard-webhooks, spec, symmetric signatures.
    """
    at = str(int(now.timestamp()))
    signed = b".".join([str(event.pk).encode(), at.encode(), body])
    digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in webhook.keys(now=now)]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Laurel",
        "webhook-id": str(event.pk),
        "webhook-timestamp": at,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def _record(
    delivery: Delivery, *, arrived: bool, status: int | None, error: str, begun: datetime, now: datetime
) -> None:
    """Record how an attempt went, unless a later one has begun since."""
    state, not_before = Delivery.State.WAITING, now
    if arrived:
        state = Delivery.State.DELIVERED
    elif delivery.attempts > len(BACK_OFF):
        state = Delivery.State.FAILED
    else:
        not_before = now + BACK_OFF[delivery.attempts - 1]
    attempted = Delivery.objects.filter(
        pk=delivery.pk, attempts=delivery.attempts, state=Delivery.State.WAITING
    )
    attempted.update(
        state=state,
        not_before=not_before,
        sent_at=begun,
        seconds=(now - begun).total_seconds(),
        status=status,
        error=error,
    )
