"""How a change between two generators is written on pages."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

register = template.Library()


@register.filter
def change(measured: Mapping[str, float] | None) -> str:
    """{"difference": 0.2, "low": 0.1, "high": 0.3, ...} -> +0.200 (+0.100 to +0.300)."""
    if not measured:
        return ""
    difference, low, high = (
        f"{measured[name]:+.3f}".replace("-", "\N{MINUS SIGN}") for name in ("difference", "low", "high")
    )
    return f"{difference} ({low} to {high})"
