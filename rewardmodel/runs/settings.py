"""A configuration as people read it: numbers by name and lists, not what a program would print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST = 40  # letters of a value in a list; a dataset's hash is longer
LISTED = 8  # values of a setting; of a longer list the page only says how long it is
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True)
class Setting:
    """A field of a configuration; of the last three attributes one has its value.

    Attributes:
        text: of a single value, and of a list of them.
        entries: of values by name.
        rows: of a list of values by name, in order.
    """

    name: str
    text: str = ""
    entries: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[str, ...] = ()

    @property
    def parts(self) -> list[str]:
        """The words of its name, between which a line may break."""
        return self.name.split("_")


def settings_of(config: Mapping[str, Any]) -> list[Setting]:
    """Return the fields of a configuration, by name; whatever is stored can be shown."""
    return [_setting(name, value) for name, value in sorted(config.items())]


def _setting(name: str, value: Any) -> Setting:
    if not isinstance(value, list | tuple | dict):
        return Setting(name, _text(value))
    if len(value) > LISTED:
        return Setting(name, f"{len(value)} values")
    if isinstance(value, dict) and value:
        return Setting(name, entries={key: _text(each) for key, each in value.items()})
    if any(isinstance(each, dict) for each in value):
        return Setting(name, rows=tuple(_text(each) for each in value))
    return Setting(name, _text(value))


def _text(value: Any) -> str:
    """A value in a line, however deep it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_shorten(_text(each)) for each in value) or "none"
    return str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:12]}{ELLIPSIS}"
