"""What an export form may ask for."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms

from annotation.services.exports import FORMATS


class ExportForm(forms.Form):
    """Days are whole days in UTC."""

    format = forms.ChoiceField(choices=[(name, format.label) for name, format in FORMATS.items()])
    first_day = forms.DateField(
        required=False,
        label="Accepted from",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Nothing chosen: from the first answer on.",
    )
    last_day = forms.DateField(
        required=False,
        label="Accepted up to and including",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Nothing chosen: up to now.",
    )
    with_images = forms.BooleanField(
        required=False,
        initial=True,
        label="With image files",
        help_text="Only ImageRewardDB and Pick-a-Pic can hold them.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("first_day"), cleaned.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", "Is before the first day.")
        return cleaned

    def request(self) -> dict[str, Any]:
        """Arguments of `request_export`."""
        first, last = self.cleaned_data["first_day"], self.cleaned_data["last_day"]
        return {
            "format": self.cleaned_data["format"],
            "with_images": self.cleaned_data["with_images"],
            # An export holds what was accepted later than `after`: the midnight itself is left out.
            "after": first and datetime.combine(first, time(), UTC),
            "until": last and datetime.combine(last, time.max, UTC),
        }
