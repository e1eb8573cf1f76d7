"""Forms for choosing references and for sending answers back."""

from __future__ import annotations

from django import forms

from annotation.models import Reference


class ReferenceForm(forms.Form):
    """The purpose of a trusted answer."""

    purpose = forms.ChoiceField(choices=Reference.Purpose.choices)
    note = forms.CharField(
        label="Why it is so",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Shown with the feedback on a training item.",
    )


class SendBackForm(forms.Form):
    """Why an answer is rejected; stored with the answer."""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say why: it is kept with the answer."},
    )
