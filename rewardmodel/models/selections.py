"""Runs that select prompts by graph-based voting."""

from __future__ import annotations

from django.db import models

from annotation.models import PromptSelection
from rewardmodel.models.runs import Run


class SelectionRun(Run):
    """A selection among a project's prompts. `config` is a SelectionConfig of `rewardmodel.selection`.

    Each prompt counts two steps: one for encoding its text, one for finding its neighbours. It has no points:
    nothing is measured on the way.
    """

    command = "select_prompts"
    kind = "selection"
    inputs = {}

    newest_prompt = models.BigIntegerField()  # prompts with a higher id are ignored
    selection = models.OneToOneField(PromptSelection, models.SET_NULL, null=True, related_name="run")

    class Meta(Run.Meta):
        pass
