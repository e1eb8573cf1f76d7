"""The ranking's images by the slot they stand in."""

from __future__ import annotations

from collections.abc import Sequence

from django import template

from annotation.forms.judgements import ImageFields

register = template.Library()


@register.filter
def in_slot(images: Sequence[ImageFields], slot: str | None) -> list[ImageFields]:
    """The images placed in the slot so far; None: those in no slot."""
    return [image for image in images if image.placed == slot]
