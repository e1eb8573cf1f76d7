"""The axes that images are rated on, as a field of a form: a row of inputs an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from django import forms
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

from annotation.models.axes import LONGEST, MOST, Axis, as_axes, as_stored, check_axes

PARTS = [field.name for field in fields(Axis)]


class AxesWidget(forms.Widget):
    """Inputs <name>-<n>-<part>, with <n> from 1 and <part> a field of Axis; n rows, the unused ones blank.

    The value is a list of objects, as a project stores it; None where there is no such input.
    """

    template_name = "annotation/projects/axes.html"

    def __init__(self) -> None:
        super().__init__({"longest": LONGEST})

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        given = value if isinstance(value, list) else []
        blank = dict.fromkeys(PARTS, "")
        rows = [blank | dict(row) for row in given if isinstance(row, Mapping)][:MOST]
        rows += [blank] * (MOST - len(rows))
        return super().get_context(name, value, attrs) | {"rows": list(enumerate(rows, start=1))}

    def _render(self, template_name: str, context: dict[str, Any], renderer: Any = None) -> SafeString:
        """Render a template of the site's: those of forms are Django's alone."""
        return mark_safe(render_to_string(template_name, context))

    def use_required_attribute(self, initial: Any) -> bool:
        return False

    def id_for_label(self, id_: str) -> str:
        return f"{id_}-1-title"

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        """Return the rows as they were filled in, or what a program gave by the field's own name."""
        if name in data:
            return data[name]
        rows = [
            {part: data.get(f"{name}-{number}-{part}", "").strip() for part in PARTS}
            for number in range(1, MOST + 1)
            if f"{name}-{number}-title" in data
        ]
        return rows or None


class AxesField(forms.Field):
    """Axes as a project stores them: None for the paper's."""

    widget = AxesWidget

    def prepare_value(self, value: Any) -> Any:
        return [asdict(axis) for axis in as_axes(None)] if value is None else value

    def clean(self, value: Any) -> list[dict[str, str]] | None:
        """Return the rows that are not blank, named by their titles where they have no name.

        Raises: ValidationError, as `check_axes` says.
        """
        if value is None:
            return None
        axes = value
        if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
            rows = [_stripped(row) for row in value]
            axes = [_named(row) for row in rows if any(row.values())]
        check_axes(axes)
        return as_stored(as_axes(axes))


def _stripped(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row as the page and the API send it: without space around its texts."""
    return {part: text.strip() if isinstance(text, str) else text for part, text in row.items()}


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with a name: "Legible text" is legible_text."""
    name = row.get("name") or slugify(str(row.get("title", ""))).replace("-", "_")[: LONGEST["name"]].strip(
        "_"
    )
    return {**row, "name": name}
