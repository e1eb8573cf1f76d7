"""The web process's side: one request for scores, from the choice of a scorer to its answer."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from rewardmodel.learning.reference import Reference
from rewardmodel.serving import protocol
from rewardmodel.serving.protocol import Address, Channel, Message

CONNECT_SECONDS = 2.0
LAST_SECONDS = 30.0  # so long a scorer that could not be reached is asked after the others
_lock = Lock()
_waiting: Counter[Address] = Counter()  # requests of this process that wait for each scorer
_unreached: dict[Address, float] = {}  # scorer -> when it could not be reached, on the monotonic clock


class Unavailable(Exception):
    """No scores now; asking again later may do. The message says why."""


class NoScorer(Unavailable):
    """None of the scorers can be reached."""


class Busy(Unavailable):
    """As many requests wait as may."""


class ScorerLost(Unavailable):
    """The scorer died or fell silent with the request in hand."""


class TimedOut(Unavailable):
    """The scores were not there in time."""


class ClientGone(Exception):
    """Whoever asked does not listen any more."""


class ImagesUnreadable(ValueError):
    """Some images cannot be scored. `reasons`: index -> why."""

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__("; ".join(f"image {index}: {reason}" for index, reason in reasons.items()))
        self.reasons = reasons


class ModelBroken(Exception):
    """The reward model does not load, or gives no finite scores; the message says how."""


@dataclass(frozen=True)
class Scores:
    """Of each image in the order asked: its score, and whether only the beginning of its prompt was read.

    reference: what the scores are read against, where the model knows it.
    """

    scores: list[float]
    truncated: list[bool]
    reference: Reference | None = None


def request_scores(
    *,
    scorers: Sequence[Address],
    key: bytes,
    location: str,
    prompts: Sequence[str],
    images: Sequence[bytes],
    seconds: float,
    most_waiting: int,
    client: socket.socket | None = None,
) -> Scores:
    """Score image i for prompt i with the reward model at a location; of several scorers by one that is free.

    Args:
        images: the files' bytes.
        seconds: until when scores are of use.
        most_waiting: requests of this process that may wait at a time, all scorers together.
        client: the connection of whoever asked; scores are given up when they hang up.
    Raises: NoScorer, Busy, ScorerLost, TimedOut, ClientGone, ImagesUnreadable, ModelBroken.
    """
    question = {
        "ask": "scores",
        "location": location,
        "prompts": list(prompts),
        "sizes": [len(image) for image in images],
    }
    deadline = time.monotonic() + seconds
    why: Unavailable = NoScorer("no scorer runs here")
    for address in _in_order(scorers, now=time.monotonic()):
        if not _enter(address, most_waiting):
            raise Busy(f"{most_waiting} requests wait already")
        try:
            return _ask_one(address, question, images, key=key, deadline=deadline, client=client)
        except (NoScorer, Busy) as error:
            why = error  # another may be free
        finally:
            _leave(address)
    raise why


def status(address: Address, *, key: bytes) -> Message:
    """What a scorer says of itself: see `metrics.Metrics`. Raises: NoScorer."""
    try:
        with protocol.connect(address, seconds=CONNECT_SECONDS) as connection:
            return protocol.ask(connection, {"ask": "status"}, key=key).receive()
    except OSError as error:
        raise NoScorer(f"no scorer answers at {name_of(address)} ({error})") from None


def name_of(address: Address) -> str:
    return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


def _in_order(scorers: Sequence[Address], *, now: float) -> list[Address]:
    """Those for which the fewest of our requests wait come first; equal ones in the order given.

    Each request would wait for a host that is gone: one that could not be reached a moment ago comes last.
    """
    with _lock:
        lost = {address for address, at in _unreached.items() if now - at < LAST_SECONDS}
        return sorted(scorers, key=lambda address: (address in lost, _waiting[address]))


def _enter(address: Address, most: int) -> bool:
    with _lock:
        if _waiting.total() >= most:
            return False
        _waiting[address] += 1
        return True


def _leave(address: Address) -> None:
    with _lock:
        _waiting[address] -= 1


def _ask_one(
    address: Address,
    question: Message,
    images: Sequence[bytes],
    *,
    key: bytes,
    deadline: float,
    client: socket.socket | None,
) -> Scores:
    try:
        connection = protocol.connect(address, seconds=CONNECT_SECONDS)
    except OSError as error:
        with _lock:
            _unreached[address] = time.monotonic()
        raise NoScorer(f"no scorer answers at {name_of(address)} ({error})") from None
    with _lock:
        _unreached.pop(address, None)
    with connection:
        try:
            channel = protocol.ask(connection, {**question, "seconds": deadline - time.monotonic()}, key=key)
            if "go" not in _answer(channel):
                raise Busy(f"the scorer at {name_of(address)} has as many images waiting as it may")
            for image in images:
                channel.send_bytes(image)
            _wait(connection, client, deadline=deadline)
            return _scores(_answer(channel))
        except protocol.Unauthenticated as error:
            raise NoScorer(f"{name_of(address)}: {error}; is SECRET_KEY the same there?") from None
        except OSError as error:
            if time.monotonic() >= deadline:
                raise TimedOut("the scores were not there in time") from None
            raise ScorerLost(f"the scorer at {name_of(address)} went away ({error})") from None


def _answer(channel: Channel) -> Message:
    channel.socket.settimeout(CONNECT_SECONDS)
    return channel.receive()


def _wait(connection: socket.socket, client: socket.socket | None, *, deadline: float) -> None:
    """Until the scorer answers. Raises: TimedOut; ClientGone."""
    listening = [connection] if client is None else [connection, client]
    while True:
        left = deadline - time.monotonic()
        poll = select.poll()
        for one in listening:
            poll.register(one, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0.0, left) * 1000)}
        if not ready:
            raise TimedOut("the scores were not there in time")
        if client is not None and protocol.is_closed(client):
            raise ClientGone
        if connection.fileno() in ready:
            return
        listening = [connection]  # the client sends more: that is the next request's


def _scores(answer: Message) -> Scores:
    if "scores" in answer:
        known = answer.get("reference")
        return Scores(answer["scores"], answer["truncated"], known and Reference.from_dict(known))
    if "unreadable" in answer:
        raise ImagesUnreadable({int(index): reason for index, reason in answer["unreadable"].items()})
    if "broken" in answer:
        raise ModelBroken(answer["broken"])
    raise ScorerLost(answer["failed"])
