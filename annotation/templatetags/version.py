"""Which Laurel this is, for pages."""

from __future__ import annotations

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def laurel_version() -> str:
    """Return the version, as pyproject.toml has it."""
    return str(settings.VERSION)
