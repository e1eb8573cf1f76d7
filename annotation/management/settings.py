"""Settings of a project on the command line: NAME=VALUE, each value as JSON or as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from annotation.forms.projects import SETTINGS


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"a setting, as often as there are some: {', '.join(SETTINGS)}. true, false, numbers as in JSON",
    )
    parser.add_argument("--from", dest="file", type=Path, metavar="FILE", help="a JSON object of settings")
    parser.add_argument("--guideline", type=Path, metavar="FILE", help="Markdown that annotators read first")


def read_settings(*, file: Path | None, pairs: list[str]) -> dict[str, Any]:
    """Return the settings of the file, and over them the pairs. Raises: CommandError."""
    settings: dict[str, Any] = {}
    if file is not None:
        try:
            settings = json.loads(read_text(file))
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{file}: is no JSON ({error})") from None
        if not isinstance(settings, dict):
            raise CommandError(f"{file}: is no JSON object of settings")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise CommandError(f"--set {pair}: is no NAME=VALUE")
        try:
            settings[name] = json.loads(text)
        except (ValueError, RecursionError):
            settings[name] = text
    return settings


def read_text(file: Path) -> str:
    """Raises: CommandError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


@contextmanager
def refused_in_a_line() -> Iterator[None]:
    """Turn a form's refusal into a line that names each field."""
    try:
        yield
    except ValidationError as error:
        fields = ((name, " ".join(reasons)) for name, reasons in error.message_dict.items())
        raise CommandError("; ".join(f"{name}: {reason}" for name, reason in fields)) from None
