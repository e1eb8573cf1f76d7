"""Template tags for small pictures of a prompt."""

from __future__ import annotations

from collections.abc import Mapping

from django import template

from annotation.selectors.projects.images import Strip

register = template.Library()


@register.inclusion_tag("components/strip.html")
def strip(
    strips: Mapping[int, Strip], prompt: int, href: str = "", *, beside: bool = False, alone: bool = False
) -> dict[str, object]:
    """A few images of a prompt, side by side, and how many more there are.

    Args:
        prompt: its id.
        href: the page that each leads to, if any.
        alone: the first image alone, without a word about the others.
        beside: whether a link to the same page stands beside them, so that keys need not stop at each.
    """
    images = strips.get(prompt)
    if alone:
        images = Strip(images.pictures[:1] if images else [], more=0)
    return {"strip": images, "href": href, "beside": beside, "alone": alone}
