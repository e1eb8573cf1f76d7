"""kombu's transport to Redis or Valkey, which gives up on a broker that hangs as on one that is down."""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport
from redis.backoff import NoBackoff
from redis.retry import Retry


class OnceChannel(Channel):
    """A lost connection is made anew at once, and no command is repeated that was not answered in time.

    By default the client repeats it ten times, with longer and longer pauses.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        parameters = super()._connparams(asynchronous)  # type: ignore[misc]  # its stubs leave it out
        return {**parameters, "retry": retry}


class OnceTransport(Transport):
    Channel = OnceChannel


def use_for_redis() -> None:
    """Let URLs of Redis, also over a socket or TLS, mean this transport."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{OnceTransport.__name__}"
