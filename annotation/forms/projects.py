"""Forms for a project: settings, guideline, members."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from django import forms
from django.utils.text import slugify

from annotation.forms.axes import AxesField
from annotation.forms.imports import material_field
from annotation.models import Membership, Project, User
from annotation.models.axes import MOST


@dataclass(frozen=True)
class Section:
    """A group of fields. `about` is shown beside the title; a section without it is never collapsed."""

    title: str
    names: list[str]
    about: str = ""


SECTIONS = [
    Section("What people do", ["asks_label", "asks_ratings", "opinions_per_prompt", "review_share"]),
    Section("Axes of rating", ["axes"], "what images are rated on"),
    Section("Prompts", ["longest_prompt"], "how long they may be"),
    Section(
        "Ranking",
        ["slots", "per_slot", "asks_acceptable", "consistency"],
        "slots, ties, what is acceptable, contradictions",
    ),
    Section(
        "Handing out",
        [
            "task_order",
            "choice_rule",
            "extra_opinions",
            "agreement_wanted",
            "lease_minutes",
            "skips_per_hundred",
        ],
        "order, further opinions, reservations, skips",
    ),
    Section("Checks mixed in", ["gold_share", "repeat_share"], "known answers, tasks asked twice"),
    Section(
        "Qualification", ["requires_qualification", "qualification_threshold"], "a test before the first task"
    ),
    Section(
        "Pauses by rule",
        ["gold_floor", "seconds_per_image", "pauses_place_bias", "pause_window"],
        "known answers missed, too quick, always the same place",
    ),
]
FIRST_GUIDELINE = "annotation/projects/first_guideline.md"  # a template: where a new project begins
SLUG_LENGTH = Project._meta.get_field("slug").max_length or 50
PAGES = {"new"}  # addresses beside the projects'
SETTINGS = [name for section in SECTIONS for name in section.names]


@dataclass(frozen=True)
class ShownSection:
    """A section on a page; a collapsed one with an error is opened."""

    title: str
    about: str
    fields: list[forms.BoundField]

    @property
    def is_open(self) -> bool:
        return any(field.errors for field in self.fields)


def _markdown() -> forms.CharField:
    return forms.CharField(
        label="Guideline",
        max_length=100_000,
        widget=forms.Textarea(attrs={"class": "markdown"}),
        help_text="Markdown, with images of this server or in data: addresses. "
        "Annotators confirm that they read it; a new version asks them again.",
    )


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The settings of a project."""

    axes = AxesField(
        label="What images are rated on",
        required=False,
        help_text=f"In the order asked, up to {MOST}; as they come, they are ImageReward's. Names in files "
        "are of small letters, digits and _.",
    )

    class Meta:
        model = Project
        fields = ["name", *SETTINGS]
        help_texts = {
            "name": "Everybody who takes part sees it.",
            "asks_label": "One of twelve categories, and whether something is wrong with the text.",
            "asks_ratings": "From 1 to 7 on the axes below, and problems.",
            "slots": "Slot 1 is the best. Two slots and two images make a choice between two.",
            "per_slot": "Images in one slot tie; 1 lets nobody tie.",
            "asks_acceptable": "A line in the ranking, above which images will do; it may leave none above.",
            "consistency": "When an image is rated above another on the first axis, but placed below it.",
            "review_share": "0 checks none, 1 checks all. What is not checked counts at once.",
            "task_order": "Of tasks opened from now on.",
            "choice_rule": "Of open tasks where it gives their order, from the next scoring on; "
            "and of the prompts that get images.",
            "longest_prompt": "Longer ones, and translations, are refused wherever they come from.",
            "lease_minutes": "After that somebody else may get it.",
            "opinions_per_prompt": "How many different people judge each prompt.",
            "extra_opinions": "At most so many, one after another, on prompts with two opinions or more.",
            "agreement_wanted": "Share of pairs of images ordered alike; by chance it is 0.5.",
            "skips_per_hundred": "0 lets nobody skip. What is skipped is asked of somebody else.",
            "gold_share": "0 mixes in none; 0.05 to 0.15 is usual. The answers are chosen under References.",
            "requires_qualification": "By a test after guideline and training; see References.",
            "qualification_threshold": "The share of the test's pairs to agree with researchers on.",
            "gold_floor": "Who agrees less is paused. 0 pauses nobody; by chance it is 0.5.",
            "seconds_per_image": "Who is quicker in more than half of their answers is paused. 0: nobody.",
            "pauses_place_bias": "Images are shuffled: the best one should stand anywhere.",
            "pause_window": "Nobody is paused before they gave so many.",
            "repeat_share": "Shows whether people agree with themselves; 0 asks nothing twice.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, most in (("review_share", "1"), ("gold_share", "0.5"), ("repeat_share", "0.5")):
            self.fields[name].widget.attrs.update(step="0.01", min="0", max=most)

    def sections(self) -> list[ShownSection]:
        """The sections of settings; the other fields are separate on the page."""
        return [
            ShownSection(section.title, section.about, [self[name] for name in section.names])
            for section in SECTIONS
        ]


class NewProjectForm(ProjectForm):
    """A new project: its first guideline and, optionally, prompts and images."""

    guideline = _markdown()
    material = material_field(required=False)

    class Meta(ProjectForm.Meta):
        fields = ["name", "slug", *SETTINGS]
        labels = {"slug": "Short name"}
        help_texts = {
            **ProjectForm.Meta.help_texts,
            "slug": "Part of the project's address; it stays. Empty: it is made from the name.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["slug"].required = False
        self.fields["material"].help_text += " They can also be added later."

    def sections(self) -> list[ShownSection]:
        """Guideline and address come last, collapsed: both have an initial value."""
        return [
            *super().sections(),
            ShownSection("Guideline", "what annotators read first", [self["guideline"]]),
            ShownSection("Address", "the short name", [self["slug"]]),
        ]

    def clean_slug(self) -> str:
        """Reject slugs that are the address of a page."""
        slug: str = self.cleaned_data["slug"]
        if slug in PAGES:
            raise forms.ValidationError("This name is taken.")
        return slug or free_slug(self.cleaned_data.get("name", ""))


def free_slug(name: str) -> str:
    """Return an unused slug for the name, with a number appended if needed."""
    stem = slugify(name)[: SLUG_LENGTH - 5].strip("-_") or "project"
    slugs = PAGES | set(Project.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    candidates = (f"{stem}-{number}" for number in count(2))
    return stem if stem not in slugs else next(slug for slug in candidates if slug not in slugs)


class GuidelineForm(forms.Form):
    """A new version of the guideline."""

    text = _markdown()


class MemberForm(forms.Form):
    """A member's role; an account is created if the name has none."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(choices=[(role.value, role.label) for role in Membership.Role])
    new_account = forms.BooleanField(
        label="Make an account of this name", required=False, help_text="Its password is shown once."
    )

    def clean_username(self) -> str:
        """Return the normalized name. Raises: ValidationError for an invalid one."""
        username: str = User.normalize_username(self.cleaned_data["username"])
        User._meta.get_field("username").run_validators(username)
        return username
