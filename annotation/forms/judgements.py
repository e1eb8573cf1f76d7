"""The annotator's answer: one form for all three stages, posted once. It works without scripts.

Fields, with <n> an image's number from 1 in the order shown; a stage that the project switched off has none:

    category             one value of Category                                    (stage 1)
    intent_unclear       "on" when ticked
    issues               one or more values of Issue, or "none" alone
    rating-<n>-<axis>    1 to 7, on each of the project's axes by name            (stage 2, each image)
    rating-<n>-problems  one or more values of Problem, or "none" alone
    slot-<n>             1 to the project's slots, 1 is best                      (stage 3, each image)
    acceptable           0 to the project's slots: the last with acceptable images, 0 for none; where asked
    confirmed            "on": contradictions were shown and are meant; only WARN projects listen
    step, at             where the annotator is: the stage, and the number of the image being rated
    claim                the assignment's `claim`: numbers of an earlier one would mean other images

Images have numbers and no ids here: ids follow the order of import, which tells generators apart. The page is
/work/<slug>/: the form has the id "judgement", each image is an <img data-image="<n>">, and the prompt is the
text of #prompt. "none" has to be said: what nobody touched is not recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from django import forms
from django.http import QueryDict
from django.urls import reverse

from annotation.models import Category, Issue, Problem, Project, ShownImage, Skip
from annotation.models.axes import SCALE, Axis
from annotation.services.judgements.answers import ImageRating, Judgement, Label
from annotation.services.judgements.judgements import Contradiction, InvalidJudgement

NONE = "none"
CATEGORIES, ISSUES, PROBLEMS = tuple(Category.values), tuple(Issue.values), tuple(Problem.values)
POINTS = [str(point) for point in range(SCALE[0], SCALE[1] + 1)]
STEPS = ("prompt", "rate", "rank")
CATEGORY_KEYS = "123456789abc"


@dataclass(frozen=True)
class ImageFields:
    """One image, numbered from 1 in the order shown, with what was chosen for it so far.

    Numbers are text here: templates take long over the digits of integers, and a page has hundreds of them.
    `points` are those chosen on each axis, "" where none is; `placed` is the slot it is in.
    """

    number: str
    shown: ShownImage
    points: tuple[tuple[Axis, str], ...]
    problems: tuple[str, ...]
    placed: str | None
    is_refused: bool

    @property
    def address(self) -> str:
        return reverse("image", args=[self.shown.token])

    @property
    def is_rated(self) -> bool:
        return all(point for _, point in self.points) and bool(self.problems)


class JudgementForm:
    """The fields above for one assignment. `judgement()` gives a valid form's answer.

    Not a Django form: six images would need 35 fields with their widgets, created for every request.
    """

    def __init__(self, data: QueryDict | None = None, *, project: Project, order: Sequence[int]) -> None:
        """Args: data: what was posted, None for a task not begun; order: generation ids as shown."""
        self.data = QueryDict() if data is None else data
        self.project, self.order = project, order
        self.numbers = [str(number) for number in range(1, len(order) + 1)]  # of the images
        self.axes = project.rating_axes
        self.slots = [str(slot) for slot in range(1, project.slots + 1)]
        self.lines = ["0", *self.slots] if project.asks_acceptable else []
        self.errors: dict[str, list[str]] = {}  # by field; "" is the form as a whole

    @classmethod
    def from_draft(
        cls, answer: Mapping[str, list[str]], *, project: Project, order: Sequence[int]
    ) -> JudgementForm:
        """Return the form of a saved draft; `answer` is the value of `draft`."""
        data = QueryDict(mutable=True)
        for name, values in answer.items():
            data.setlist(name, values)
        return cls(data, project=project, order=order)

    @classmethod
    def from_judgement(cls, judgement: Judgement, *, project: Project, order: Sequence[int]) -> JudgementForm:
        """Return the form of a submitted answer, opened at the ranking."""
        answer = {"step": ["rank"]}
        if judgement.acceptable_slots is not None:
            answer["acceptable"] = [str(judgement.acceptable_slots)]
        if label := judgement.label:
            answer |= {"category": [label.category], "issues": list(label.issues) or [NONE]}
            answer |= {"intent_unclear": ["on"]} if label.intent_unclear else {}
        for number, pk in enumerate(order, start=1):
            answer[f"slot-{number}"] = [str(judgement.slots[pk])]
            if rating := judgement.ratings.get(pk):
                points = {f"rating-{number}-{axis}": [str(point)] for axis, point in rating.points.items()}
                answer |= points | {f"rating-{number}-problems": list(rating.problems) or [NONE]}
        return cls.from_draft(answer, project=project, order=order)

    # The posted data

    def draft(self) -> dict[str, list[str]]:
        """Return the posted fields that have allowed values, for `from_draft`."""
        offered = self._fields()
        posted = {
            name: [value for value in self.data.getlist(name) if value in offered[name]]
            for name in self.data
            if name in offered
        }
        return {name: values for name, values in posted.items() if values}

    def judgement(self) -> Judgement:
        """Return the answer of a valid form, keyed by generation id."""
        label = None
        if self.project.asks_label:
            category = self._value("category", CATEGORIES)
            label = Label(category, self._is_on("intent_unclear"), self._ticked("issues"))
        ratings, slots = {}, {}
        for number, pk in zip(self.numbers, self.order, strict=True):
            slots[pk] = int(self.data.get(f"slot-{number}", ""))
            if self.project.asks_ratings:
                points = {
                    axis.name: int(self.data.get(f"rating-{number}-{axis.name}", "")) for axis in self.axes
                }
                ratings[pk] = ImageRating(points, self._ticked(f"rating-{number}-problems"))
        acceptable = int(self.data.get("acceptable", "")) if self.project.asks_acceptable else None
        return Judgement(label, ratings, slots, acceptable)

    @property
    def is_confirmed(self) -> bool:
        return self._is_on("confirmed")

    def _fields(self) -> dict[str, Collection[str]]:
        """Return every field with its allowed values."""
        values: dict[str, Collection[str]] = {"step": STEPS, "at": self.numbers, "confirmed": ("on",)}
        if self.project.asks_acceptable:
            values["acceptable"] = self.lines
        if self.project.asks_label:
            values |= {"category": CATEGORIES, "intent_unclear": ("on",), "issues": (*ISSUES, NONE)}
        for number in self.numbers:
            values[f"slot-{number}"] = self.slots
            if self.project.asks_ratings:
                values |= {f"rating-{number}-{axis.name}": POINTS for axis in self.axes}
                values[f"rating-{number}-problems"] = (*PROBLEMS, NONE)
        return values

    def _value(self, name: str, offered: Collection[str]) -> str:
        """Return the field's value, or "" if it is not an allowed one."""
        value = self.data.get(name, "")
        return value if value in offered else ""

    def _ticked(self, name: str) -> tuple[str, ...]:
        return tuple(value for value in self.data.getlist(name) if value != NONE)

    def _is_on(self, name: str) -> bool:
        return self.data.get(name) == "on"

    # Validation

    def is_valid(self) -> bool:
        """Return whether every field has an allowed value; put the others into `errors`."""
        self.errors = {}
        step, image = self.data.get("step", ""), self.data.get("at", "")
        if step not in ("", *STEPS) or image not in ("", *self.numbers):
            self._refuse("", "The form is not as this page made it. Reload the page.")
        if self.project.asks_label:
            self._check_label()
        for number in self.numbers:
            if self.project.asks_ratings:
                self._check_rating(number)
            self._check_slot(number)
        if self.project.asks_acceptable and not self.acceptable():
            self._refuse("acceptable", "Say which images are acceptable, or that none of them is.")
        return not self.errors

    def refuse(self, error: InvalidJudgement) -> None:
        """Add a service's refusal to the errors of the images that it names."""
        numbers = dict(zip(self.order, self.numbers, strict=True))
        if isinstance(error, Contradiction):
            for better, worse in error.pairs:
                a, b = numbers[better], numbers[worse]
                higher = f"Image {a} is rated above image {b} ({error.axis})"
                self._refuse(f"slot-{a}", f"{higher}, but placed below it.")
            return
        images = " ".join(f"Image {numbers[pk]}." for pk in error.generations if pk in numbers)
        self._refuse("", f"{error} {images}".strip())

    def refusals(self) -> list[str]:
        """Return the errors, one sentence each, with images named by their numbers."""
        sentences = [message for name in ("", "category", "issues") for message in self.errors.get(name, [])]
        for number in self.numbers:
            if unrated := [axis.title for axis in self.axes if f"rating-{number}-{axis.name}" in self.errors]:
                sentences.append(f"Image {number} is not rated: {', '.join(unrated)}.")
            sentences += self.errors.get(f"rating-{number}-problems", [])
            sentences += self.errors.get(f"slot-{number}", [])
        return sentences + self.errors.get("acceptable", [])

    def _check_label(self) -> None:
        category = self.data.get("category", "")
        if category not in CATEGORIES:
            self._refuse("category", no_such(category) if category else "Choose what the prompt is about.")
        self._check_ticked("issues", ISSUES, "Say which problems the text has, or that it has none.")

    def _check_rating(self, number: str) -> None:
        for axis in self.axes:
            name = f"rating-{number}-{axis.name}"
            if not self._value(name, POINTS):
                self._refuse(name, f"From {SCALE[0]} to {SCALE[1]}.")
        image = f"Image {number}, problems: "
        self._check_ticked(f"rating-{number}-problems", PROBLEMS, "This field is required.", image)

    def _check_slot(self, number: str) -> None:
        name = f"slot-{number}"
        slot = self.data.get(name, "")
        if slot not in self.slots:
            wrong = f"may only be from 1 to {self.project.slots}." if slot else "is in no slot."
            self._refuse(name, f"Image {number} {wrong}")

    def _check_ticked(self, name: str, offered: Collection[str], missing: str, beginning: str = "") -> None:
        """Check for allowed values, or "none" alone. Args: beginning: of the error's sentence."""
        ticked = self.data.getlist(name)
        unknown = [value for value in ticked if value not in offered and value != NONE]
        if not ticked:
            self._refuse(name, beginning + missing)
        elif unknown:
            self._refuse(name, beginning + no_such(unknown[0]))
        elif NONE in ticked and len(ticked) > 1:
            self._refuse(name, beginning + "Either some of these or none of them.")

    def _refuse(self, name: str, message: str) -> None:
        self.errors.setdefault(name, []).append(message)

    # For the page

    def label(self) -> tuple[str, bool, tuple[str, ...]]:
        """Return category, whether the intent is unclear, and issues, as far as chosen."""
        issues = self._shown_ticks("issues", ISSUES)
        return self._value("category", CATEGORIES), self._is_on("intent_unclear"), issues

    def images(self, images: Sequence[ShownImage], *, refused: bool = False) -> list[ImageFields]:
        """Return the fields of each image, in the order shown. Args: refused: mark those with errors."""
        wrong = {part for name in self.errors for part in name.split("-")} if refused else set()
        return [
            ImageFields(
                number=number,
                shown=shown,
                points=tuple(
                    (axis, self._value(f"rating-{number}-{axis.name}", POINTS)) for axis in self.axes
                ),
                problems=self._shown_ticks(f"rating-{number}-problems", PROBLEMS),
                placed=self._value(f"slot-{number}", self.slots) or None,
                is_refused=number in wrong,
            )
            for number, shown in zip(self.numbers, images, strict=True)
        ]

    def acceptable(self) -> str:
        """Return the last acceptable slot that was chosen, "0" for none of the images; "" so far."""
        return self._value("acceptable", self.lines)

    def current_step(self) -> str:
        """Return the annotator's current stage, else the first."""
        asks = (self.project.asks_label, self.project.asks_ratings, True)
        steps = [step for step, is_asked in zip(STEPS, asks, strict=True) if is_asked]
        return self._value("step", steps) or steps[0]

    def refused_step(self) -> str:
        """Return the first stage with an error."""
        if {"category", "issues"} & set(self.errors):
            return "prompt"
        if any(name.startswith("rating-") for name in self.errors):
            return "rate"
        return "rank"

    def current_image(self) -> str:
        """Return the number of the image being rated."""
        return self._value("at", self.numbers) or "1"

    def _shown_ticks(self, name: str, offered: Sequence[str]) -> tuple[str, ...]:
        """Return the ticked values, in the order offered."""
        ticked = self.data.getlist(name)
        return tuple(value for value in (*offered, NONE) if value in ticked)


def no_such(value: str) -> str:
    return f"Select a valid choice. {value} is not one of the available choices."


class SkipForm(forms.Form):
    """A reason, with a note if the reason requires one."""

    reason = forms.ChoiceField(
        choices=Skip.Reason.choices, error_messages={"required": "Say why you skip it."}
    )
    note = forms.CharField(required=False, max_length=500)
