"""The admin site, for superusers. It edits policies; every other write goes through a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin

from annotation.admin import ModelAdmin, ReadOnly
from rewardmodel.learning.config import RewardConfig
from rewardmodel.models import (
    DatasetVersion,
    Evaluation,
    EvaluationRun,
    RewardCheckpoint,
    SelectionRun,
    TrainingPolicy,
    TrainingRun,
)

# The stubs' class takes a type, Django's own does not.
if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class OfProject(ReadOnly):
    """Read-only rows, filtered by project."""

    list_filter = ["project"]
    list_select_related = ["project"]


@admin.register(DatasetVersion)
class DatasetVersionAdmin(OfProject):
    list_display = ["__str__", "project", "answers", "left_out", "created_at"]


@admin.register(Evaluation)
class EvaluationAdmin(OfProject):
    list_display = ["__str__", "project", "measured_at"]
    list_select_related = ["project", "checkpoint", "dataset"]


@admin.register(SelectionRun, EvaluationRun)
class SelectionRunAdmin(OfProject):
    list_display = ["__str__", "project", "state", "step", "steps", "attempt", "seconds", "created_at"]
    list_filter = ["project", "state"]


@admin.register(TrainingRun)
class TrainingRunAdmin(OfProject):
    list_display = ["__str__", "project", "state", "step", "steps", "attempt", "seconds", "created_at"]
    list_filter = ["project", "state"]


@admin.register(RewardCheckpoint)
class RewardCheckpointAdmin(OfProject):
    list_display = ["name", "project", "run", "promoted", "created_at"]
    list_select_related = ["project", "run"]


class PolicyForm(ModelForm):
    """A form for a policy with a `config`; it rejects an invalid configuration."""

    configures: ClassVar[type[Any]]  # the dataclass that checks it

    def clean_config(self) -> dict[str, Any]:
        config = self.cleaned_data["config"] or {}
        if not isinstance(config, dict):
            raise forms.ValidationError("An object of fields and values.")
        try:
            self.configures(**config)
        except (TypeError, ValueError) as error:
            raise forms.ValidationError(str(error)) from None
        return config


class TrainingPolicyForm(PolicyForm):
    configures = RewardConfig

    class Meta:
        model = TrainingPolicy
        fields = ["project", "enabled", "retrain_after", "config"]


@admin.register(TrainingPolicy)
class TrainingPolicyAdmin(ModelAdmin):
    form = TrainingPolicyForm
    list_display = ["project", "enabled", "retrain_after"]
