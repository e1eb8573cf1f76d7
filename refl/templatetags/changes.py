"""How a change between two generators is written on pages."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

from annotation.statistics import notation

register = template.Library()


@register.filter
def change(measured: Mapping[str, float] | None) -> str:
    """{"difference": 0.2, "low": 0.1, "high": 0.3, ...} -> +0.200 (+0.100 to +0.300)."""
    return notation.change(measured["difference"], measured["low"], measured["high"]) if measured else ""


@register.filter
def difference(measured: Mapping[str, float]) -> str:
    """The same -> +0.200."""
    return notation.signed(measured["difference"])


@register.filter
def bounds(measured: Mapping[str, float]) -> str:
    """The same -> +0.100 to +0.300."""
    return notation.signed_interval(measured["low"], measured["high"])
