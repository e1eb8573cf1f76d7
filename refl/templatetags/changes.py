"""How a change between two generators is written on pages."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

register = template.Library()


@register.filter
def change(measured: Mapping[str, float] | None) -> str:
    """{"difference": 0.2, "low": 0.1, "high": 0.3, ...} -> +0.200 (+0.100 to +0.300)."""
    return f"{difference(measured)} ({bounds(measured)})" if measured else ""


@register.filter
def difference(measured: Mapping[str, float]) -> str:
    """The same -> +0.200."""
    return _signed(measured["difference"])


@register.filter
def bounds(measured: Mapping[str, float]) -> str:
    """The same -> +0.100 to +0.300."""
    return f"{_signed(measured['low'])} to {_signed(measured['high'])}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
