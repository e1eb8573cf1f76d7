"""What an admin may ask of a project's generators."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.models import Project
from refl.models import Generator, TuningPolicy
from refl.services.sampling import MAX_BEST_OF


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
        label="Let the promoted reward model choose the prompts",
        help_text="By the project's rule: it tries images of several times as many.",
    )

    def __init__(self, *args: Any, project: Project, policy: TuningPolicy, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["prompts"].initial = policy.prompts_per_round
        self.fields["per_prompt"].initial = policy.images_per_prompt
        generators = self.fields["generator"]
        assert isinstance(generators, forms.ModelChoiceField)
        generators.queryset = Generator.objects.kept().filter(project=project).order_by("-is_seen", "-pk")
        self.fields["per_prompt"].widget.attrs["max"] = project.max_images
