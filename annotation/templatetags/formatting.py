"""Template filters for texts, logged details and states."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString, mark_safe
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
def in_words(value: object) -> str:
    """True -> yes, ["a", "b"] -> a, b; other values unchanged."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@register.filter
def tone(state: str) -> str:
    """The badge's colour for a job's state."""
    return {"finished": "good", "failed": "bad", "running": "busy"}.get(state, "quiet")
