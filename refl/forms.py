"""What an admin may ask of a project's generators."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.models import Project
from refl.models import Generator, Study, StudyConfig, TuningPolicy
from refl.services.sampling import MAX_BEST_OF
from refl.services.studies import MAX_NAME
from refl.services.study_plans import PROMPTS, WIDEST_MARGIN

# What the project's rule chooses, as the form asks for it.
CHOICES: dict[str, str] = {
    Project.ChoiceRule.D_OPTIMAL: "Choose the prompts that would teach the promoted reward model most",
    Project.ChoiceRule.ENTROPY: "Choose the prompts on which the promoted reward model is least sure",
    Project.ChoiceRule.RANDOM: "Choose the prompts at random",
}


class SamplingForm(forms.Form):
    """Images for prompts that have none."""

    generator = forms.ModelChoiceField(Generator.objects.none(), empty_label=None)
    prompts = forms.IntegerField(min_value=1, label="Prompts", help_text="Of those that have no image yet.")
    per_prompt = forms.IntegerField(min_value=1, label="Images of each prompt")
    best_of = forms.IntegerField(
        min_value=1,
        max_value=MAX_BEST_OF,
        initial=1,
        required=False,
        label="Candidates of each image",
        help_text="The one that the promoted reward model likes best is kept. Each takes an image's time.",
    )
    least_sure = forms.BooleanField(
        required=False,
        help_text="By the project's rule of choice; it tries images of several times as many.",
    )

    def __init__(self, *args: Any, project: Project, policy: TuningPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["prompts"].initial = policy.prompts_per_round
        self.fields["per_prompt"].initial = policy.images_per_prompt
        generators = self.fields["generator"]
        assert isinstance(generators, forms.ModelChoiceField)
        generators.queryset = Generator.objects.kept().filter(project=project).order_by("-is_seen", "-pk")
        self.fields["per_prompt"].widget.attrs["max"] = project.max_images
        self.fields["least_sure"].label = CHOICES[project.choice_rule]
        if project.choice_rule == Project.ChoiceRule.RANDOM:
            self.fields["least_sure"].help_text = "By the project's rule of choice; else the first ones."


class StudyForm(forms.Form):
    """A blind study: what it compares, how it asks, when it stops."""

    base = forms.ModelChoiceField(
        Generator.objects.none(), empty_label=None, help_text="What the others are compared with."
    )
    others = forms.ModelMultipleChoiceField(
        Generator.objects.none(), label="Compared with it", widget=forms.CheckboxSelectMultiple
    )
    name = forms.CharField(
        required=False, max_length=MAX_NAME, help_text="Named after its generators if empty."
    )
    design = forms.ChoiceField(
        choices=Study.Design.choices, label="Each task shows", initial=Study.Design.PAIRS
    )
    captions = forms.IntegerField(min_value=2, label="Prompts", initial=PROMPTS)
    images_per_caption = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=1,
        label="Seeds of each prompt",
        help_text="The same for all generators.",
    )
    opinions = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=1,
        label="Opinions on each",
        help_text="More prompts tell more than more opinions.",
    )
    confidence = forms.TypedChoiceField(
        choices=[("0.9", "90 %"), ("0.95", "95 %"), ("0.99", "99 %")], coerce=float, initial="0.95"
    )
    stops = forms.BooleanField(
        required=False,
        initial=True,
        label="Stop as soon as it is decided",
        help_text="Its intervals hold however often one looks.",
    )
    margin = forms.FloatField(
        min_value=0,
        max_value=WIDEST_MARGIN,
        initial=0.1,
        label="No difference within",
        help_text="Of one half: at 0.1 an interval within 40 to 60 % says so.",
    )

    def __init__(self, *args: Any, project: Project, held_out: int, **kwargs: Any) -> None:
        """Args: held_out: how many prompts there are to ask about."""
        super().__init__(*args, **kwargs)
        ready = Generator.objects.seen().filter(project=project, kept__isnull=False).order_by("pk")
        self.ready = list(ready)
        for name in ("base", "others"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = ready
        tuned = [each for each in self.ready if each.run_id is not None]
        newest = next((each for each in reversed(tuned) if each.kept), tuned[-1] if tuned else None)
        if newest is not None:
            self.fields["base"].initial = newest.parent_id
            self.fields["others"].initial = [newest.pk]
        captions = self.fields["captions"]
        captions.initial = min(PROMPTS, held_out)
        captions.help_text = f"Of the {held_out:,} that nothing learned from."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        base, others = cleaned.get("base"), cleaned.get("others")
        if base is not None and others is not None and base in others:
            self.add_error("others", f"{base} is the base: it is compared with others, not with itself.")
        return cleaned

    @property
    def generators(self) -> list[Generator]:
        """What was chosen, the base first."""
        return [self.cleaned_data["base"], *self.cleaned_data["others"]]

    @property
    def asked(self) -> dict[str, Any]:
        """The fields of a StudyConfig."""
        return {name: self.cleaned_data[name] for name in StudyConfig().to_dict()}
