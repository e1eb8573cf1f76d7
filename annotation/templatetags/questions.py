"""The questions of a task's page, rendered once per combination of arguments and then cached.

A task of six images has two hundred inputs, which are the same for every prompt and annotator: of the images
only the tokens differ. Nothing here may depend on anything but the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from uuid import uuid4, uuid5

from django import template
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from annotation.forms.judgements import CATEGORY_KEYS, NONE, POINTS, ImageFields, JudgementForm
from annotation.models import Category, Issue, Problem
from annotation.models.axes import Axis

register = template.Library()
KEPT = 2048  # of each question; beyond that, they are rendered again
KEPT_WHOLE = 64  # of all questions of a page, 50 kB for six images on three axes
NONE_CHOICE = (NONE, "None of these")
STAND_INS = uuid4()  # random, so that no text of a project can hold a stand-in


@register.simple_tag
def label_questions(form: JudgementForm) -> SafeString:
    """Stage 1."""
    return _label(*form.label())


@register.simple_tag
def image_questions(form: JudgementForm, images: Sequence[ImageFields]) -> SafeString:
    """Stages 2 and 3, of all images."""
    questions = _images(
        tuple(_without_token(image) for image in images),
        form.current_image(),
        tuple(form.slots),
        tuple(form.lines),
        form.acceptable(),
        asks_ratings=form.project.asks_ratings,
    )
    html = str(questions)
    for image in images:
        html = html.replace(_stand_in(image.number), image.shown.token)
    return mark_safe(html)


@register.simple_tag
def rating_questions(image: ImageFields) -> SafeString:
    """Stage 2, of one image."""
    scales = [_scale(image.number, axis, point) for axis, point in image.points]
    return mark_safe("".join((*scales, _problems(image.number, image.problems))))


@register.simple_tag
def slot_question(image: ImageFields, slots: Sequence[str]) -> SafeString:
    """Stage 3, of one image."""
    return _slot(image.number, image.placed, tuple(slots))


@register.simple_tag
def line_question(chosen: str, lines: Sequence[str]) -> SafeString:
    """Stage 3: down to which slot images are acceptable."""
    return _line(chosen, tuple(lines))


@register.filter
def in_slot(images: Sequence[ImageFields], slot: str | None) -> list[ImageFields]:
    """Return the images placed in the slot so far; None: those in no slot."""
    return [image for image in images if image.placed == slot]


@register.filter
def shared_ratio(images: Sequence[ImageFields]) -> str:
    """Return the shape of a tile: width over height, from 1/3 to 3, if all images share it, else 1."""
    ratios = {round(image.shown.width / image.shown.height, 2) for image in images}
    return str(min(max(ratios.pop(), 0.33), 3.0)) if len(ratios) == 1 else "1"


@cache
def _stand_in(number: str) -> str:
    """Return a token of no image: the same to every thread, even where several are the first to ask."""
    return str(uuid5(STAND_INS, number))


def _without_token(image: ImageFields) -> ImageFields:
    return replace(image, shown=replace(image.shown, generation_id=0, token=_stand_in(image.number)))


@lru_cache(KEPT_WHOLE)
def _images(
    images: tuple[ImageFields, ...],
    current_image: str,
    slots: tuple[str, ...],
    lines: tuple[str, ...],
    acceptable: str,
    *,
    asks_ratings: bool,
) -> SafeString:
    context = {
        "images": images,
        "current_image": current_image,
        "slots": slots,
        "lines": lines,
        "acceptable": acceptable,
    }
    stages = ("rate", "rank") if asks_ratings else ("rank",)
    rendered = (render_to_string(f"annotation/assignments/{stage}.html", context) for stage in stages)
    return mark_safe("".join(rendered))


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
