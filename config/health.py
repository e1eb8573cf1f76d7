"""Whether this process lives and is ready, for load balancers and bin/run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from config.broker import BrokerSilent, open_channel
from config.database.silence import give_up_on_silence
from rewardmodel.serving import client
from rewardmodel.serving.protocol import parse_address

SECONDS = 2  # to connect to the database, the fewest that libpq takes


def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200 while the process runs; nothing else is checked."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """Return 200 when database and broker respond, else 503, saying which. Pages work without a scorer.

    An answer is at most READY_FRESH_SECONDS old, however many ask: no more connections are opened than that.
    """
    answers = {name: look.now() for name, look in _LOOKS.items()}
    return JsonResponse(answers, status=200 if answers["database"] and answers["broker"] else 503)


class _Look:
    """What was seen of one part when somebody last looked; who asks meanwhile waits for what they see."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look, self._lock = look, threading.Lock()
        self._answers, self._seen_at = False, -math.inf

    def now(self) -> bool:
        with self._lock:
            if time.monotonic() - self._seen_at >= settings.READY_FRESH_SECONDS:
                self._answers = self._look()
                self._seen_at = time.monotonic()
            return self._answers


def database_answers() -> bool:
    """Return whether the database answered a statement in the last READY_FRESH_SECONDS, or does now."""
    return _LOOKS["database"].now()


def _database_answers() -> bool:
    """Connect anew: on a connection that exists, a database that hangs would be waited for without end."""
    fresh = connection.copy()
    fresh.settings_dict["OPTIONS"] = {**fresh.settings_dict["OPTIONS"], "connect_timeout": SECONDS}
    try:
        fresh.ensure_connection()
        give_up_on_silence(fresh, is_alive=lambda: False, seconds=SECONDS)
        with fresh.cursor() as cursor:  # a pooler takes connections also for a database that hangs
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    finally:
        fresh.close()
    return True


def _any_scorer_answers() -> bool:
    """Ask all concurrently: the time-outs of hosts that are down must not add up."""
    if not settings.SCORERS:
        return False
    with ThreadPoolExecutor(len(settings.SCORERS)) as pool:
        return any(list(pool.map(_scorer_answers, settings.SCORERS)))


def _scorer_answers(address: str) -> bool:
    try:
        client.status(parse_address(address), key=settings.SCORER_KEY)
    except (client.NoScorer, ValueError):  # ValueError: an invalid address, as `doctor` reports
        return False
    return True


def _broker_answers() -> bool:
    try:
        with open_channel():
            return True
    except BrokerSilent:
        return False


_LOOKS = {
    "database": _Look(_database_answers),
    "broker": _Look(_broker_answers),
    "scorer": _Look(_any_scorer_answers),
}
