"""A look at the rows for superusers. Policies are set here; every other write goes through a service."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from annotation.admin import ModelAdmin
from refl.learning.config import TuningConfig
from refl.models import Generator, SamplingRun, Study, TuningPolicy, TuningRun
from refl.selectors.rewards import NoSuchReward, check_rewards
from rewardmodel.admin import OfProject, PolicyForm

RUN = ["__str__", "project", "state", "step", "steps", "attempt", "seconds", "created_at"]


@admin.register(Generator)
class GeneratorAdmin(OfProject):
    list_display = ["name", "project", "parent", "kept", "is_seen", "reason", "created_at"]
    list_filter = ["project", "kept", "is_seen"]
    list_select_related = ["project", "parent"]


@admin.register(TuningRun)
class TuningRunAdmin(OfProject):
    list_display = [*RUN, "generator", "checkpoint"]
    list_filter = ["project", "state"]
    list_select_related = ["project", "generator", "checkpoint"]


@admin.register(SamplingRun)
class SamplingRunAdmin(OfProject):
    list_display = [*RUN, "generator", "checkpoint"]
    list_filter = ["project", "state"]
    list_select_related = ["project", "generator", "checkpoint"]


@admin.register(Study)
class StudyAdmin(OfProject):
    list_display = ["name", "project", "state", "reason", "opened_by", "created_at", "closed_at"]
    list_filter = ["project", "state"]
    list_select_related = ["project", "opened_by"]


class TuningPolicyForm(PolicyForm):
    configures = TuningConfig

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if "config" in cleaned and "project" in cleaned:
            try:
                check_rewards(cleaned["project"], cleaned["config"].get("rewards", {}))
            except NoSuchReward as error:
                self.add_error("config", str(error))
        return cleaned

    class Meta:
        model = TuningPolicy
        fields = ["project", "enabled", "config", "prompts_per_round", "images_per_prompt", "pool_factor"]


@admin.register(TuningPolicy)
class TuningPolicyAdmin(ModelAdmin):
    form = TuningPolicyForm
    list_display = ["project", "enabled", "prompts_per_round", "images_per_prompt", "pool_factor"]
