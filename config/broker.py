"""The broker, Redis or Valkey. One that hangs is given up on as one that is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from django.conf import settings
from kombu import Connection
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, Transport
from redis.backoff import NoBackoff
from redis.retry import Retry


class BrokerSilent(Exception):
    """The broker does not answer; the message says how."""


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


@contextmanager
def open_channel() -> Iterator[Any]:
    """Provide a channel to the broker. Raises: BrokerSilent."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    with Connection(settings.CELERY_BROKER_URL, transport_options=options) as link:
        silent: tuple[type[BaseException], ...] = (KombuError, *link.connection_errors, *link.channel_errors)
        try:
            yield link.default_channel
        except silent as error:
            raise BrokerSilent(str(error)) from error
