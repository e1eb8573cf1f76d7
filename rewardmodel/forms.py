"""What an admin or researcher may ask of reward models: evaluations, selections of prompts, scores."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from annotation.models import Project
from rewardmodel.learning import available_scores
from rewardmodel.models import DatasetVersion, PromotionRule, RewardCheckpoint
from rewardmodel.models.datasets import SPLITS
from rewardmodel.models.promotions import HIGHEST, LOWEST
from rewardmodel.selection.config import SelectionConfig

DEFAULTS = SelectionConfig()
PROMPT_LENGTH = 20_000


class EvaluationForm(forms.Form):
    """Which models, a project's and baselines, to evaluate on which of its datasets.

    Proposed are the promoted one and the newest dataset.
    """

    checkpoints = forms.ModelMultipleChoiceField(
        RewardCheckpoint.objects.none(),
        label="Models",
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    baselines = forms.MultipleChoiceField(
        choices=[(name, name) for name in available_scores()],
        label="Published baselines",
        widget=forms.CheckboxSelectMultiple,
        required=False,
    )
    datasets = forms.ModelMultipleChoiceField(
        DatasetVersion.objects.none(), label="Datasets", widget=forms.CheckboxSelectMultiple
    )
    split = forms.ChoiceField(choices=[(name, name) for name in SPLITS[::-1]], label="Split")

    def __init__(self, project: Project, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("checkpoints", RewardCheckpoint), ("datasets", DatasetVersion)):
            field = self.fields[name]
            assert isinstance(field, forms.ModelMultipleChoiceField)
            field.queryset = rows._default_manager.filter(project=project)
        self.initial["checkpoints"] = RewardCheckpoint.objects.filter(project=project, promoted=True)
        self.initial["datasets"] = DatasetVersion.objects.filter(project=project)[:1]


class PromotionRuleForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """How sure a project wants to be before a new model takes the promoted one's place."""

    class Meta:
        model = PromotionRule
        fields = ["probability", "pairs"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["probability"].widget.attrs.update(step="0.001", min=str(LOWEST), max=str(HIGHEST))


class SelectionForm(forms.Form):
    """Prompts to choose, and how. The fields are those of a SelectionConfig."""

    count = forms.IntegerField(
        required=False,
        min_value=1,
        label="Prompts to choose",
        help_text=f"In all. Left empty: {DEFAULTS.per_set} from each set.",
    )
    per_set = forms.IntegerField(
        min_value=1, label="Chosen from a set", help_text="Where no number is given in all."
    )
    set_size = forms.IntegerField(
        min_value=1, label="Prompts of a set", help_text="About so many. Time grows with the square."
    )
    neighbours = forms.IntegerField(
        min_value=1, label="Neighbours", help_text="For so many prompts most like it each prompt votes."
    )
    discount = forms.FloatField(
        min_value=1,
        label="Discount",
        help_text="A vote is divided by it for each prompt chosen already that its voter voted for.",
    )
    near_duplicates = forms.FloatField(
        min_value=0.05,
        max_value=2,
        label="Near duplicates",
        help_text="Share of two prompts' word pairs from which on the later one is dropped; 2 drops none.",
    )
    seed = forms.IntegerField(min_value=0, label="Seed", help_text="Of the shuffle into sets.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.initial = getattr(DEFAULTS, name)
        for name in ("discount", "near_duplicates"):
            self.fields[name].widget.attrs["step"] = "any"

    def config(self) -> dict[str, Any]:
        return {field.name: self.cleaned_data[field.name] for field in fields(SelectionConfig)}


class _FilesInput(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """One file or several."""

    def clean(self, data: Any, initial: Any = None) -> Any:
        files = [super(FilesField, self).clean(file, initial) for file in data or [None]]
        if len(files) > settings.SCORES_MAX_IMAGES:
            raise forms.ValidationError(f"At most {settings.SCORES_MAX_IMAGES} at a time.")
        if sum(file.size for file in files) > settings.SCORES_MAX_BYTES:
            raise forms.ValidationError(f"At most {filesizeformat(settings.SCORES_MAX_BYTES)} at a time.")
        return files


class TryForm(forms.Form):
    """A prompt, and images made for it."""

    prompt = forms.CharField(max_length=PROMPT_LENGTH, widget=forms.Textarea(attrs={"rows": 2}))
    images = FilesField(
        allow_empty_file=True,  # the scorer says what is no image
        widget=_FilesInput(attrs={"accept": "image/png,image/jpeg,image/webp", "multiple": True}),
        help_text="PNG, JPEG or WebP. Choose several, or drop them here. They are not kept.",
    )

    @property
    def files_sent(self) -> list[UploadedFile[bytes]]:
        sent: list[UploadedFile[bytes]] = self.cleaned_data["images"]
        return sent
