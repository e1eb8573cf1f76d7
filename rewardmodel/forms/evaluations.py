"""Which models somebody wants to see measured, and on what."""

from __future__ import annotations

from typing import Any

from django import forms

from annotation.models import Project
from rewardmodel.learning import available_scores
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.models.datasets import SPLITS


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
