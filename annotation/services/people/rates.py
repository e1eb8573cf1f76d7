"""Counting requests by the minute, in the database: one statement, seen by all processes."""

from __future__ import annotations

from datetime import datetime, timedelta

from annotation.models import RequestCount
from annotation.statements import fetch_one

MINUTE = timedelta(minutes=1)
FORGOTTEN_AFTER = timedelta(hours=1)

# A count that a crash loses is no loss, so the commit does not wait for the disk.
COUNT = """
WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO annotation_requestcount AS requests (client, minute, count)
SELECT %(client)s, %(minute)s, 1 FROM quick
ON CONFLICT (client) DO UPDATE SET
    count = CASE WHEN requests.minute = excluded.minute THEN requests.count + 1 ELSE 1 END,
    minute = excluded.minute
RETURNING count
"""


def count_request(client: str, *, now: datetime) -> int:
    """Count a request and return how many the client made in this minute, this one among them."""
    minute = now.replace(second=0, microsecond=0)
    row = fetch_one(COUNT, {"client": client, "minute": minute})
    assert row is not None
    if row[0] == 1:
        RequestCount.objects.filter(minute__lt=minute - FORGOTTEN_AFTER).delete()
    return int(row[0])


def requests_in_minute(client: str, *, now: datetime) -> int:
    """Return how many requests of the client were counted in this minute."""
    minute = now.replace(second=0, microsecond=0)
    counts = RequestCount.objects.filter(client=client, minute=minute).values_list("count", flat=True)
    return counts.first() or 0


def seconds_to_next_minute(now: datetime) -> int:
    """Return whole seconds, 1 to 60, until counting begins anew."""
    return 60 - now.second
