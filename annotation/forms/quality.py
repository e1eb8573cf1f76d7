"""What an inspector decides about an annotator."""

from __future__ import annotations

from django import forms

from annotation.models import Qualification


class ReasonForm(forms.Form):
    """Why; the annotator reads it."""

    reason = forms.CharField(max_length=500)


class DecisionForm(ReasonForm):
    """Whether somebody may work, whatever their test says."""

    outcome = forms.ChoiceField(choices=Qualification.Outcome.choices)
