"""A look at the rows for superusers. Policies are set here; every other write goes through a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from rewardmodel.learning.config import RewardConfig
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingPolicy, TrainingRun

# The stubs' classes take a type, Django's own do not.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm


class ReadOnly(ModelAdmin):
    """Shows, and neither adds, changes nor deletes."""

    show_full_result_count = False
    list_filter = ["project"]
    list_select_related = ["project"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnly):
    list_display = ["__str__", "project", "answers", "left_out", "created_at"]


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnly):
    list_display = ["__str__", "project", "state", "step", "steps", "attempt", "seconds", "created_at"]
    list_filter = ["project", "state"]


@admin.register(RewardCheckpoint)
class RewardCheckpointAdmin(ReadOnly):
    list_display = ["name", "project", "run", "promoted", "created_at"]
    list_select_related = ["project", "run"]


class TrainingPolicyForm(ModelForm):
    """Refuses a configuration that no run can have."""

    class Meta:
        model = TrainingPolicy
        fields = ["project", "enabled", "retrain_after", "config"]

    def clean_config(self) -> dict[str, Any]:
        config = self.cleaned_data["config"] or {}
        if not isinstance(config, dict):
            raise forms.ValidationError("An object of fields and values.")
        try:
            RewardConfig(**config)
        except (TypeError, ValueError) as error:
            raise forms.ValidationError(str(error)) from None
        return config


@admin.register(TrainingPolicy)
class TrainingPolicyAdmin(ModelAdmin):
    form = TrainingPolicyForm
    list_display = ["project", "enabled", "retrain_after"]
