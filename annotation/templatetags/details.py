"""How the details of a logged action are written on a page."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def in_words(value: object) -> str:
    """True -> yes, ["a", "b"] -> a, b; whatever else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
