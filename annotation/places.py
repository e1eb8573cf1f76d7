"""Paths below LAUREL_VAR in a form that every host understands, wherever its own lies."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

VARIABLE = "$LAUREL_VAR/"


def name_below_var(path: Path) -> str | None:
    """Return a path relative to LAUREL_VAR; None for one that does not lie below it."""
    if not path.is_relative_to(settings.VAR) or path == settings.VAR:
        return None
    return path.relative_to(settings.VAR).as_posix()


def to_any_host(place: str) -> str:
    """Return a path below LAUREL_VAR as $LAUREL_VAR/..., and any other place, such as a hub id, as it is."""
    path = Path(settings.ROOT, place)
    is_path = Path(place).is_absolute() or path.exists()
    name = name_below_var(path) if place and is_path else None
    return place if name is None else VARIABLE + name


def on_this_host(place: str) -> str:
    """Return what `to_any_host` returned, on any host, as a path of this one; other places as they are."""
    if not place.startswith(VARIABLE):
        return place
    return str(Path(settings.VAR, place.removeprefix(VARIABLE)))
