"""How figures are written for people, on pages and in sentences that are stored.

With a minus sign, not a hyphen; a space before the per cent sign; "low to high" for an interval. What rounds
to zero has no minus.
"""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"


def decimals(value: float, places: int = 3) -> str:
    """0.07481 -> 0.075."""
    return f"{value:z.{places}f}".replace("-", MINUS)


def signed(value: float, places: int = 3) -> str:
    """0.2 -> +0.200."""
    return f"{value:+z.{places}f}".replace("-", MINUS)


def significant(value: float, digits: int = 3) -> str:
    """0.0007481 -> 0.000748: for figures of any size."""
    return f"{value:z.{digits}g}".replace("-", MINUS)


def percent(share: float, places: int = 1) -> str:
    """0.653 -> 65.3 %."""
    return f"{decimals(100 * share, places)} %"


def interval(low: float, high: float, places: int = 3) -> str:
    """0.521, 0.679 -> 0.521 to 0.679."""
    return f"{decimals(low, places)} to {decimals(high, places)}"


def percent_interval(low: float, high: float) -> str:
    """0.521, 0.679 -> 52.1 to 67.9, in percent."""
    return interval(100 * low, 100 * high, places=1)


def signed_interval(low: float, high: float) -> str:
    """0.1, 0.3 -> +0.100 to +0.300."""
    return f"{signed(low)} to {signed(high)}"


def change(difference: float, low: float, high: float) -> str:
    """0.2, 0.1, 0.3 -> +0.200 (+0.100 to +0.300)."""
    return f"{signed(difference)} ({signed_interval(low, high)})"
