"""Registries that other apps extend: events for webhooks, kinds of logged actions, fields that hold paths,
kinds of stored files.

The service that announces an event or records an action registers it; each app's `ready` imports those
services, in the order in which pages list what they register. The names are stored and sent: they must stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

EventKind = NewType("EventKind", str)
ActionKind = NewType("ActionKind", str)

EVENTS: dict[str, str] = {}  # name -> title, in the order of pages
ACTIONS: dict[str, str] = {}
PATHS: list[tuple[str, str]] = []  # "app.Model", field: paths of files and folders, which move with a backup


@dataclass(frozen=True)
class KnownFile:
    """A stored file that should have not changed.

    Args:
        position: its place among those of its kind, to go on after it.
        name: images/... of the storage, or var/... below LAUREL_VAR.
        path: None: it lies in the storage.
        sha256: "": a folder; the hashes of its files are recorded when they are first looked at.
    """

    position: str
    name: str
    path: Path | None = None
    sha256: str = ""


# Kind -> what lists so many files of it, in order, after a position; "" is before the first.
FILES: dict[str, Callable[[str, int], list[KnownFile]]] = {}


def register_files(kind: str, known: Callable[[str, int], list[KnownFile]]) -> None:
    """Let the scheduled look read files of this kind."""
    FILES[kind] = known


def register_event(name: str, title: str) -> EventKind:
    """Let webhooks subscribe to events of this kind. Raises: ValueError when the name is in use."""
    _add(EVENTS, name, title)
    return EventKind(name)


def register_action(name: str, title: str) -> ActionKind:
    """Let the log show actions of this kind. Raises: ValueError when the name is in use."""
    _add(ACTIONS, name, title)
    return ActionKind(name)


def register_paths(model: str, *fields: str) -> None:
    """Let a backup know that these fields may hold paths on this machine. Args: model: "app.Model"."""
    PATHS.extend((model, field) for field in fields)


def event_choices() -> list[tuple[str, str]]:
    """Return name and title of each kind of event that webhooks may subscribe to."""
    return list(EVENTS.items())


def action_choices() -> list[tuple[str, str]]:
    """Return name and title of each kind of logged action."""
    return list(ACTIONS.items())


def _add(kinds: dict[str, str], name: str, title: str) -> None:
    if name in kinds:
        raise ValueError(f"{name} is registered already, as {kinds[name]!r}")
    kinds[name] = title
