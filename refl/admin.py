"""A look at the rows for superusers. Policies are set here; every other write goes through a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from refl.learning.config import TuningConfig
from refl.models import Generator, SamplingRun, TuningPolicy, TuningRun

# The stubs' class takes a type, Django's own does not.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm

RUN = ["__str__", "project", "state", "step", "steps", "attempt", "seconds", "created_at"]


class ReadOnly(ModelAdmin):
    """Shows, and neither adds, changes nor deletes."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Generator)
class GeneratorAdmin(ReadOnly):
    list_display = ["name", "project", "parent", "kept", "reason", "created_at"]
    list_filter = ["project", "kept"]


@admin.register(TuningRun)
class TuningRunAdmin(ReadOnly):
    list_display = [*RUN, "generator", "checkpoint"]
    list_filter = ["project", "state"]


@admin.register(SamplingRun)
class SamplingRunAdmin(ReadOnly):
    list_display = [*RUN, "generator", "checkpoint"]
    list_filter = ["project", "state"]


class TuningPolicyForm(ModelForm):
    """Refuses a configuration that no run can have."""

    class Meta:
        model = TuningPolicy
        fields = ["project", "enabled", "config", "prompts_per_round", "images_per_prompt", "pool_factor"]

    def clean_config(self) -> dict[str, Any]:
        config = self.cleaned_data["config"] or {}
        if not isinstance(config, dict):
            raise forms.ValidationError("An object of fields and values.")
        try:
            TuningConfig(**config)
        except (TypeError, ValueError) as error:
            raise forms.ValidationError(str(error)) from None
        return config


@admin.register(TuningPolicy)
class TuningPolicyAdmin(ModelAdmin):
    form = TuningPolicyForm
    list_display = ["project", "enabled", "prompts_per_round", "images_per_prompt", "pool_factor"]
