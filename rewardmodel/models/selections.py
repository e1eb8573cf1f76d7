"""Selecting prompts: the run that reads their texts and lets them vote."""

from __future__ import annotations

from django.db import models

from annotation.models import PromptSelection
from rewardmodel.models.runs import Run


class SelectionRun(Run):
    """From a project's prompts to a selection of them. `config` is an rewardmodel.selection SelectionConfig.

    A prompt counts two steps: one when its text was read, one when its neighbours were found. Nothing is
    measured on the way, so there are no points.
    """

    command = "select_prompts"
    kind = "selection"
    inputs = {}

    newest_prompt = models.BigIntegerField()  # prompts with a higher id came too late
    selection = models.OneToOneField(PromptSelection, models.SET_NULL, null=True, related_name="run")

    class Meta(Run.Meta):
        pass
