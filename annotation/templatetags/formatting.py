"""Template filters for texts, logged details and states."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.formats import date_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import is_aware, localtime
from markdown_it import MarkdownIt

register = template.Library()
# js-default: raw HTML in the text is shown, not run, and javascript: links are dropped.
_PARSER = MarkdownIt("js-default", {"html": False})


@register.filter
def markdown(text: str) -> SafeString:
    """Markdown, as guidelines are written in, to HTML."""
    html: str = _PARSER.render(text)
    return mark_safe(html)


@register.filter
def spaced(name: str) -> str:
    """expires_at -> expires at."""
    return name.replace("_", " ")


@register.filter
def in_words(value: object) -> str:
    """True -> yes, ["a", "b"] -> a, b, 2026-11-30T09:00:00+00:00 -> 30 Nov 2026, 09:00; others unchanged."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    moment = _moment(value) if isinstance(value, str) else None
    return date_format(localtime(moment), "j M Y, H:i") if moment else str(value)


def _moment(text: str) -> datetime | None:
    """Return the moment that the text is, as JSON has it; None for any other."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if is_aware(moment) else None


@register.filter
def tone(state: str) -> str:
    """The badge's colour for a job's state."""
    return {"finished": "good", "failed": "bad", "running": "busy"}.get(state, "quiet")
