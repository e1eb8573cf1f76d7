"""Shares as people read them."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """From 0 to 1, as a whole percentage; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"  # noqa: RUF001  # an en dash is meant


@register.filter
def share_of(part: float | None, whole: float | None) -> str:
    """`part` of `whole` as a percentage; a dash of nothing."""
    return percent((part or 0) / whole if whole else None)
