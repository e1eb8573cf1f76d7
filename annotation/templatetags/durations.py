"""Times as people read them."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def duration(seconds: float | str | None) -> str:
    """Seconds -> 42 s, 3 min 12 s, or 2 h 5 min. What is not there (to a template: "") stays empty."""
    if not isinstance(seconds, int | float):
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
