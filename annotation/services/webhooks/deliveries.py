"""Delivering the outbox: each event to each webhook at least once, signed, with back-off on failure."""

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

# Delays after the first, second ... failed attempt; after the last, the delivery has failed.
BACK_OFF = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=16),
)
LEASE = timedelta(minutes=2)  # after this, a worker that recorded no result is presumed dead
SWEEP = timedelta(seconds=20)  # other tasks need this worker too


def send_due(*, clock: Callable[[], datetime]) -> int:
    """Send due deliveries until `SWEEP` has passed. A failing webhook is not retried in the same sweep.

    Returns: the number of attempts.
    """
    started_at, attempts = clock(), 0
    failing: set[int] = set()
    while clock() < started_at + SWEEP:
        delivery = claim_due(now=clock(), passing_over=failing)
        if delivery is None:
            break
        attempts += 1
        if not attempt(delivery, clock=clock):
            failing.add(delivery.webhook_id)
    return attempts


@transaction.atomic
def claim_due(*, now: datetime, passing_over: Collection[int] = ()) -> Delivery | None:
    """Claim the delivery that has been due longest; it is hidden from other workers until the lease ends."""
    deliveries = Delivery.objects.due(now=now).exclude(webhook__in=passing_over)
    deliveries = deliveries.select_for_update(skip_locked=True, of=("self",))
    delivery = deliveries.select_related("webhook", "event__project").first()
    if delivery is not None:
        delivery.attempts += 1
        delivery.not_before = now + LEASE
        delivery.save(update_fields=["attempts", "not_before"])
    return delivery


def attempt(delivery: Delivery, *, clock: Callable[[], datetime]) -> bool:
    """Send a claimed delivery once and record the result. Returns: whether it arrived."""
    webhook, started_at = delivery.webhook, clock()
    body = body_of(delivery.event)
    status, error = None, ""
    try:
        target = Target.parse(webhook.url, private=settings.WEBHOOKS_TO_PRIVATE_ADDRESSES)
        status = post(target, body=body, headers=headers_for(webhook, delivery.event, body, now=started_at))
    except (BadAddress, Undeliverable) as refusal:
        error = str(refusal)
    arrived = status is not None and 200 <= status < 300
    if status is not None and not arrived:
        error = f"answered {status}" + (": redirects are not followed" if 300 <= status < 400 else "")
    _record(delivery, arrived=arrived, status=status, error=error, started_at=started_at, now=clock())
    return arrived


def body_of(event: Event) -> bytes:
    """Return the request body: the same bytes at each attempt."""
    message = {
        "id": str(event.pk),
        "type": event.kind,
        "timestamp": event.created_at.isoformat(),
        "project": event.project.slug,
        "data": event.data,
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def headers_for(webhook: Webhook, event: Event, body: bytes, *, now: datetime) -> dict[str, str]:
    """Return the headers of one attempt. The signature covers the time, which prevents replay.

    While two secrets are valid there are two signatures; a receiver needs to verify one.

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
    delivery: Delivery, *, arrived: bool, status: int | None, error: str, started_at: datetime, now: datetime
) -> None:
    """Record the result of an attempt, unless a later one has started."""
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
        sent_at=started_at,
        seconds=(now - started_at).total_seconds(),
        status=status,
        error=error,
    )
