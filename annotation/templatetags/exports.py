"""How exports are shown."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def export_tone(state: str) -> str:
    """The badge's colour for an export's state."""
    return {"finished": "good", "failed": "bad", "running": "busy"}.get(state, "quiet")
