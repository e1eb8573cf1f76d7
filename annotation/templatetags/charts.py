"""Template filters for charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from annotation.line_charts import Drawing, draw

register = template.Library()


@register.filter
def drawn(chart: Mapping[str, Any]) -> Drawing:
    """Place the lines of a chart."""
    return draw(chart)
