"""Setting a project up: its settings, its guideline, its members."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms

from annotation.models import Membership, Project, User

SECTIONS = {
    "What is asked": ["asks_label", "asks_ratings", "slots", "per_slot", "consistency"],
    "How often, and who looks": [
        "opinions_per_prompt",
        "extra_opinions",
        "agreement_wanted",
        "review_share",
        "lease_minutes",
        "skips_per_hundred",
    ],
    "Checks mixed in": ["gold_share", "repeat_share"],
    "Qualification": ["requires_qualification", "qualification_threshold"],
    "Pauses by rule": ["gold_floor", "seconds_per_image", "pauses_place_bias", "pause_window"],
}
SETTINGS = [name for names in SECTIONS.values() for name in names]


def _markdown() -> forms.CharField:
    return forms.CharField(
        label="Guideline",
        max_length=100_000,
        widget=forms.Textarea(attrs={"class": "markdown"}),
        help_text="Markdown. Annotators confirm that they read it; a new version asks them again.",
    )


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The settings of a project."""

    class Meta:
        model = Project
        fields = ["name", *SETTINGS]
        help_texts = {
            "consistency": "When an image is rated above another overall, but placed below it.",
            "review_share": "0 checks none, 1 checks all.",
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
            "repeat_share": "Shows whether people agree with themselves; 0 asks nothing twice.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, most in (("review_share", "1"), ("gold_share", "0.5"), ("repeat_share", "0.5")):
            self.fields[name].widget.attrs.update(step="0.01", min="0", max=most)

    def sections(self) -> Iterator[tuple[str, list[forms.BoundField]]]:
        """The fields under their headings; those of no section come first, under none."""
        yield "", [field for field in self if field.name not in SETTINGS]
        for title, names in SECTIONS.items():
            yield title, [self[name] for name in names]


class NewProjectForm(ProjectForm):
    """A project that is not there yet, with its first guideline."""

    guideline = _markdown()

    class Meta(ProjectForm.Meta):
        fields = ["name", "slug", *SETTINGS]
        labels = {"slug": "Short name"}
        help_texts = {**ProjectForm.Meta.help_texts, "slug": "Part of the project's address; it stays."}

    def clean_slug(self) -> str:
        """Refuses the one name that is a page already."""
        slug: str = self.cleaned_data["slug"]
        if slug == "new":
            raise forms.ValidationError("This name is taken.")
        return slug


class GuidelineForm(forms.Form):
    """A new version of the guideline."""

    text = _markdown()


class MemberForm(forms.Form):
    """Somebody's role; an account is made where there is none of that name."""

    username = forms.CharField(label="User name", max_length=150)
    role = forms.ChoiceField(choices=[(role.value, role.label) for role in Membership.Role])
    new_account = forms.BooleanField(
        label="Make an account of this name", required=False, help_text="Its password is shown once."
    )

    def clean_username(self) -> str:
        """The name as accounts spell it. Raises ValidationError when it cannot be one."""
        username: str = User.normalize_username(self.cleaned_data["username"])
        User._meta.get_field("username").run_validators(username)
        return username
