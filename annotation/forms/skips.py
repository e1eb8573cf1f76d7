"""Why an annotator passes on a task."""

from __future__ import annotations

from django import forms

from annotation.models import Skip


class SkipForm(forms.Form):
    """A reason, and words where it takes some."""

    reason = forms.ChoiceField(
        choices=Skip.Reason.choices, error_messages={"required": "Say why you skip it."}
    )
    note = forms.CharField(required=False, max_length=500)
