"""The export form."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.utils.text import get_text_list

from annotation.services.exports import FORMATS

WITH_IMAGES = [format.title for format in FORMATS.values() if format.has_images]


class ExportForm(forms.Form):
    """The format and days of an export: whole days in UTC."""

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
        help_text=f"Only {get_text_list(WITH_IMAGES, 'and')} can hold them.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("first_day"), cleaned.get("last_day")
        if first and last and last < first:
            self.add_error("last_day", "Is before the first day.")
        return cleaned

    def request(self) -> dict[str, Any]:
        """Return the arguments of `request_export`."""
        first, last = self.cleaned_data["first_day"], self.cleaned_data["last_day"]
        return {
            "format": self.cleaned_data["format"],
            "with_images": self.cleaned_data["with_images"],
            # An export has answers accepted later than `after`, which excludes the midnight itself.
            "after": first and datetime.combine(first, time(), UTC),
            "until": last and datetime.combine(last, time.max, UTC),
        }
