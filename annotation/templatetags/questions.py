"""The questions of a task's page, rendered once per combination of arguments and then cached.

A task of six images has two hundred inputs, which are the same for every prompt and annotator. Nothing here
may depend on anything but the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from annotation.forms.judgements import CATEGORY_KEYS, NONE, POINTS, ImageFields, JudgementForm
from annotation.models import Category, Issue, Problem
from annotation.models.axes import Axis

register = template.Library()
KEPT = 2048  # of each question; beyond that, they are rendered again
NONE_CHOICE = (NONE, "None of these")


@register.simple_tag
def label_questions(form: JudgementForm) -> SafeString:
    """Stage 1."""
    return _label(*form.label())


@register.simple_tag
def rating_questions(image: ImageFields) -> SafeString:
    """Stage 2, of one image."""
    scales = [_scale(image.number, axis, point) for axis, point in image.points]
    return mark_safe("".join((*scales, _problems(image.number, image.problems))))


@register.simple_tag
def slot_question(image: ImageFields, slots: list[str]) -> SafeString:
    """Stage 3, of one image."""
    return _slot(image.number, image.placed, tuple(slots))


@register.simple_tag
def line_question(form: JudgementForm) -> SafeString:
    """Stage 3: down to which slot images are acceptable."""
    return _line(form.acceptable(), tuple(form.lines))


@register.filter
def in_slot(images: Sequence[ImageFields], slot: str | None) -> list[ImageFields]:
    """Return the images placed in the slot so far; None: those in no slot."""
    return [image for image in images if image.placed == slot]


@register.filter
def shared_ratio(images: Sequence[ImageFields]) -> str:
    """Return the shape of a tile: width over height, from 1/3 to 3, if all images share it, else 1."""
    ratios = {round(image.shown.width / image.shown.height, 2) for image in images}
    return str(min(max(ratios.pop(), 0.33), 3.0)) if len(ratios) == 1 else "1"


@lru_cache(KEPT)
def _line(chosen: str, lines: tuple[str, ...]) -> SafeString:
    return render_to_string("annotation/assignments/line.html", {"chosen": chosen, "lines": lines})


@lru_cache(KEPT)
def _label(category: str, is_unclear: bool, issues: tuple[str, ...]) -> SafeString:
    categories = [(*choice, key) for choice, key in zip(Category.choices, CATEGORY_KEYS, strict=True)]
    return render_to_string(
        "annotation/assignments/label.html",
        {
            "categories": categories,
            "category": category,
            "is_unclear": is_unclear,
            "choices": [*Issue.choices, NONE_CHOICE],
            "issues": issues,
        },
    )


@lru_cache(KEPT)
def _scale(number: str, axis: Axis, point: str) -> SafeString:
    return render_to_string(
        "annotation/assignments/scale.html",
        {"number": number, "axis": axis, "points": POINTS, "chosen": point},
    )


@lru_cache(KEPT)
def _problems(number: str, problems: tuple[str, ...]) -> SafeString:
    choices = [*Problem.choices, NONE_CHOICE]
    return render_to_string(
        "annotation/assignments/problems.html", {"number": number, "choices": choices, "problems": problems}
    )


@lru_cache(KEPT)
def _slot(number: str, placed: str | None, slots: tuple[str, ...]) -> SafeString:
    return render_to_string(
        "annotation/assignments/slot.html",
        {"number": number, "placed": placed, "slots": slots},
    )
