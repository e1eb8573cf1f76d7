"""The annotator's answer: one form for all three stages, posted once. It works without scripts.

Fields, with <n> an image's number from 1 in the order shown; a stage that the project switched off has none:

    category             one value of Category                                    (stage 1)
    intent_unclear       "on" when ticked
    issues               one or more values of Issue, or "none" alone
    rating-<n>-overall   1 to 7                                                   (stage 2, each image)
    rating-<n>-alignment 1 to 7
    rating-<n>-fidelity  1 to 7
    rating-<n>-problems  one or more values of Problem, or "none" alone
    slot-<n>             1 to the project's slots, 1 is best                      (stage 3, each image)
    confirmed            "on": contradictions were shown and are meant; only WARN projects listen
    step, at             where the annotator is: the stage, and the number of the image being rated
    claim                the assignment's `claim`: numbers of an earlier one would mean other images

Images have numbers and no ids here: ids follow the order of import, which tells generators apart. The page is
/work/<slug>/: the form has the id "judgement", each image is an <img data-image="<n>">, and the prompt is the
text of #prompt. "none" has to be said: what nobody touched is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict

from annotation.models import Category, Issue, Problem, Project, ShownImage
from annotation.models.judgements import SCALES
from annotation.services.judgements import (
    Contradiction,
    ImageRating,
    InvalidJudgement,
    Judgement,
    Label,
)

NONE = "none"
STEPS = ("prompt", "rate", "rank")
CATEGORY_KEYS = "123456789abc"


@dataclass(frozen=True)
class Scale:
    """One axis from 1 to 7: what is asked, and what its ends and its middle mean."""

    name: str
    title: str
    question: str
    low: str
    middle: str
    high: str


RATED = (
    Scale(
        "overall",
        "Overall",
        "If you had asked for this, how content would you be with this image?",
        "Useless, or does harm",
        "Usable, with clear flaws",
        "Could hardly be better",
    ),
    Scale(
        "alignment",
        "Match with the text",
        "Does the image show what the text says?",
        "Shows none of it",
        "Main things right, details not",
        "Everything, down to details",
    ),
    Scale(
        "fidelity",
        "Quality of the picture",
        "Do things look the way they should?",
        "Glaring faults spoil it",
        "Faults, but it holds together",
        "No faults, of one piece",
    ),
)


@dataclass(frozen=True)
class RatedScale:
    scale: Scale
    field: forms.BoundField


@dataclass(frozen=True)
class ImageFields:
    """One image with the fields that ask about it, numbered from 1 in the order shown."""

    number: int
    shown: ShownImage
    scales: Sequence[RatedScale]
    problems: forms.BoundField | None
    slot: forms.BoundField
    placed: int | None  # the slot it is in so far
    is_refused: bool

    @property
    def is_rated(self) -> bool:
        return all(scale.field.value() for scale in self.scales) and bool(
            self.problems and self.problems.value()
        )


class NoneOrSome(forms.MultipleChoiceField):
    """Some of the choices, or "none" alone; `cleaned_data` has the empty list for "none"."""

    def __init__(self, *, choices: list[tuple[str, Any]], **options: Any) -> None:
        super().__init__(choices=[*choices, (NONE, "None of these")], **options)

    def clean(self, value: Any) -> list[str]:
        chosen: list[str] = super().clean(value)
        if NONE in chosen and len(chosen) > 1:
            raise forms.ValidationError("Either some of these or none of them.")
        return [one for one in chosen if one != NONE]


class JudgementForm(forms.Form):
    """The fields above for one assignment. `judgement()` gives a valid form's answer."""

    step = forms.ChoiceField(choices=[(step, step) for step in STEPS], required=False)
    confirmed = forms.BooleanField(required=False)

    def __init__(
        self, data: QueryDict | None = None, *, project: Project, order: Sequence[int], **options: Any
    ) -> None:
        """Args: order: the images' generation ids as shown."""
        super().__init__(data, auto_id=False, **options)
        self.project, self.order = project, order
        self.numbers = range(1, len(order) + 1)
        self.fields["at"] = forms.ChoiceField(
            choices=[(str(n), str(n)) for n in self.numbers], required=False
        )
        if project.asks_label:
            self.fields["category"] = forms.ChoiceField(
                choices=Category.choices, error_messages={"required": "Choose what the prompt is about."}
            )
            self.fields["intent_unclear"] = forms.BooleanField(required=False)
            self.fields["issues"] = NoneOrSome(
                choices=Issue.choices,
                error_messages={"required": "Say which problems the text has, or that it has none."},
            )
        for number in self.numbers:
            if project.asks_ratings:
                for scale in SCALES:
                    self.fields[f"rating-{number}-{scale}"] = _whole_number(1, 7)
                self.fields[f"rating-{number}-problems"] = NoneOrSome(choices=Problem.choices)
            self.fields[f"slot-{number}"] = _whole_number(1, project.slots)

    @classmethod
    def from_draft(
        cls, answer: Mapping[str, list[str]], *, project: Project, order: Sequence[int]
    ) -> JudgementForm:
        """The form as the annotator left it; `answer` is what `draft_of` made of it."""
        data = QueryDict(mutable=True)
        for name, values in answer.items():
            data.setlist(name, values)
        return cls(data, project=project, order=order)

    def draft(self) -> dict[str, list[str]]:
        """The fields as posted, for `from_draft`, as far as this form offers them and their values."""
        assert isinstance(self.data, QueryDict)
        posted = {
            name: [value for value in self.data.getlist(name) if _offers(field, value)]
            for name, field in self.fields.items()
        }
        return {name: values for name, values in posted.items() if values}

    def images(self, images: Sequence[ShownImage], *, refused: bool = False) -> list[ImageFields]:
        """The form's fields by image, in the order shown. Args: refused: mark the images with errors."""
        return [
            ImageFields(
                number=number,
                shown=shown,
                scales=[RatedScale(scale, self[f"rating-{number}-{scale.name}"]) for scale in RATED]
                if self.project.asks_ratings
                else [],
                problems=self[f"rating-{number}-problems"] if self.project.asks_ratings else None,
                slot=self[f"slot-{number}"],
                placed=self._placed(number),
                is_refused=refused and any(str(number) in name.split("-") for name in self.errors),
            )
            for number, shown in zip(self.numbers, images, strict=True)
        ]

    def categories(self) -> list[tuple[str, str, str]]:
        """Value, name and key of each category."""
        return [
            (value, name, key) for (value, name), key in zip(Category.choices, CATEGORY_KEYS, strict=True)
        ]

    def judgement(self) -> Judgement:
        """The answer of a valid form, keyed by generation id."""
        answer = self.cleaned_data
        images = list(zip(self.numbers, self.order, strict=True))
        label = None
        if self.project.asks_label:
            label = Label(answer["category"], answer["intent_unclear"], tuple(answer["issues"]))
        ratings = {}
        if self.project.asks_ratings:
            for number, pk in images:
                scales = {scale: answer[f"rating-{number}-{scale}"] for scale in SCALES}
                problems = tuple(answer[f"rating-{number}-problems"])
                ratings[pk] = ImageRating(**scales, problems=problems)
        return Judgement(label, ratings, {pk: answer[f"slot-{number}"] for number, pk in images})

    def refuse(self, error: InvalidJudgement) -> None:
        """Show why a service refused the answer, at the images that it names."""
        if isinstance(error, Contradiction):
            for better, worse in error.pairs:
                a, b = self._number(better), self._number(worse)
                self.add_error(
                    f"slot-{a}", f"Image {a} is rated above image {b} overall, but placed below it."
                )
            return
        named = " ".join(f"Image {self._number(pk)}." for pk in error.generations if pk in self.order)
        self.add_error(None, f"{error} {named}".strip())

    def refusals(self) -> list[str]:
        """What has to be put right, one sentence each, images named by their numbers."""
        errors = {name: [str(message) for message in messages] for name, messages in self.errors.items()}
        said = [message for name in ("__all__", "category", "issues") for message in errors.get(name, [])]
        for number in self.numbers:
            if wrong := [s.title for s in RATED if f"rating-{number}-{s.name}" in errors]:
                said.append(f"Image {number} is not rated: {', '.join(wrong)}.")
            for message in errors.get(f"rating-{number}-problems", []):
                said.append(f"Image {number}, problems: {message}")
            for message in errors.get(f"slot-{number}", []):
                said.append(message if message.startswith("Image ") else f"Image {number} {message}")
        return said

    def current_step(self) -> str:
        """The stage where the annotator was, else the first."""
        asked = [
            step
            for step, is_asked in zip(
                STEPS, (self.project.asks_label, self.project.asks_ratings, True), strict=True
            )
            if is_asked
        ]
        left = self.data.get("step") if self.is_bound else None
        return str(left) if left in asked else asked[0]

    def refused_step(self) -> str:
        """The first stage in which something is refused."""
        if {"category", "issues"} & set(self.errors):
            return "prompt"
        if any(name.startswith("rating-") for name in self.errors):
            return "rate"
        return "rank"

    def current_image(self) -> int:
        """The number of the image being rated."""
        at = self.data.get("at", "") if self.is_bound else ""
        return int(at) if _offers(self.fields["at"], at) else 1

    def _placed(self, number: int) -> int | None:
        slot = str(self[f"slot-{number}"].value() or "")
        return int(slot) if slot in map(str, range(1, self.project.slots + 1)) else None

    def _number(self, pk: int) -> int:
        return list(self.order).index(pk) + 1


def _offers(field: forms.Field, value: str) -> bool:
    return field.valid_value(value) if isinstance(field, forms.ChoiceField) else value == "on"


def _whole_number(low: int, high: int) -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        choices=[(str(n), str(n)) for n in range(low, high + 1)],
        coerce=int,
        error_messages={"required": "is in no slot.", "invalid_choice": f"may only be from {low} to {high}."},
    )
