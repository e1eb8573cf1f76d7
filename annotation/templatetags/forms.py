"""`csrf_token`, in place of Django's: a form also says to whom it was shown."""

from __future__ import annotations

from django import template
from django.template.context import Context
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html

from annotation.models import User
from annotation.services.people.unsent_forms import MARK, mark_of

register = template.Library()


@register.simple_tag(takes_context=True)
def csrf_token(context: Context) -> str:
    """Return the hidden fields of every form that posts."""
    token = CsrfTokenNode().render(context)
    user = getattr(context.get("request"), "user", None)
    if not isinstance(user, User):  # nobody, or a page of an error before sessions were read
        return token
    return format_html('{}<input type="hidden" name="{}" value="{}">', token, MARK, mark_of(user))
