"""What an admin may ask of this app."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django import forms

from rewardmodel.selection.config import SelectionConfig

DEFAULTS = SelectionConfig()


class SelectionForm(forms.Form):
    """Prompts to choose, and how. The fields are those of a SelectionConfig."""

    count = forms.IntegerField(
        required=False,
        min_value=1,
        label="Prompts to choose",
        help_text=f"In all. Left empty: {DEFAULTS.per_set} from each set.",
    )
    per_set = forms.IntegerField(
        min_value=1, label="Chosen from a set", help_text="Where no number is given in all."
    )
    set_size = forms.IntegerField(
        min_value=1, label="Prompts of a set", help_text="About so many. Time grows with the square."
    )
    neighbours = forms.IntegerField(
        min_value=1, label="Neighbours", help_text="For so many prompts most like it each prompt votes."
    )
    discount = forms.FloatField(
        min_value=1,
        label="Discount",
        help_text="A vote is divided by it for each prompt chosen already that its voter voted for.",
    )
    near_duplicates = forms.FloatField(
        min_value=0.05,
        max_value=2,
        label="Near duplicates",
        help_text="Share of two prompts' word pairs from which on the later one is dropped; 2 drops none.",
    )
    seed = forms.IntegerField(min_value=0, label="Seed", help_text="Of the shuffle into sets.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.initial = getattr(DEFAULTS, name)
        for name in ("discount", "near_duplicates"):
            self.fields[name].widget.attrs["step"] = "any"

    def config(self) -> dict[str, Any]:
        return {field.name: self.cleaned_data[field.name] for field in fields(SelectionConfig)}
