"""What an inspector says of an answer."""

from __future__ import annotations

from django import forms


class SendBackForm(forms.Form):
    """Why an answer does not count; kept with the answer."""

    reason = forms.CharField(
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say why: it is kept with the answer."},
    )
