"""Guidelines and cards are written in Markdown."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

register = template.Library()
# js-default: raw HTML in the text is shown, not run, and javascript: links are dropped.
_PARSER = MarkdownIt("js-default", {"html": False})


@register.filter
def markdown(text: str) -> SafeString:
    """The text as HTML."""
    html: str = _PARSER.render(text)
    return mark_safe(html)
