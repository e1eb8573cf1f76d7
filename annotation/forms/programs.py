"""Forms of pages filled in by programs: API and commands refuse what a page refuses, in its words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError

F = TypeVar("F", bound=forms.BaseForm)


def check_known(names: Iterable[str], fields: Collection[str]) -> None:
    """Raises: ValidationError naming each of the names that is none of the fields."""
    if unknown := [name for name in names if name not in fields]:
        known = ", ".join(fields)
        raise ValidationError({name: f"There is no such field; there is: {known}." for name in unknown})


def filled_in(form: type[F], values: Mapping[str, Any], **options: Any) -> F:
    """Return the form with these values, and its initial ones in the other fields; `cleaned_data` has both.

    Args: options: as the form takes them: `instance` with the values so far, `initial`.
    Raises: ValidationError naming the fields that the form does not have, or whose values are wrong.
    """
    blank = form(**options)
    check_known(values, blank.fields)
    if errors := {
        name: f"{value!r} is neither true nor false."
        for name, value in values.items()
        if isinstance(blank.fields[name], forms.BooleanField) and not isinstance(value, bool)
    }:
        raise ValidationError(errors)
    initial = {name: blank.get_initial_for_field(field, name) for name, field in blank.fields.items()}
    filled = form(initial | dict(values), **options)
    if not filled.is_valid():
        raise ValidationError(filled.errors.as_data())
    return filled
