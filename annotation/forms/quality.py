"""Forms for decisions about annotators, and for periods of work."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.http import QueryDict

from annotation.models import Qualification
from annotation.selectors.results.hours import Period


class ReasonForm(forms.Form):
    """A reason, shown to the annotator."""

    reason = forms.CharField(max_length=500)


class DecisionForm(ReasonForm):
    """A decision on an annotator's qualification, regardless of the test."""

    outcome = forms.ChoiceField(choices=Qualification.Outcome.choices)


LONGEST_PERIOD = timedelta(days=366)
MINUTES = 15  # of a task that count at most; ours


@cache
def _zones() -> list[tuple[str, str]]:
    """Return the zones named by place, and UTC, without legacy and numbered aliases."""
    places = (
        zone for zone in available_timezones() if "/" in zone and not zone.startswith(("Etc/", "SystemV/"))
    )
    return [(zone, zone.replace("_", " ")) for zone in ("UTC", *sorted(places))]


class PeriodForm(forms.Form):
    """Days, their time zone, and how much of a task counts."""

    first = forms.DateField(label="From", widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(
        label="To", widget=forms.DateInput(attrs={"type": "date"}), help_text="This day is included."
    )
    zone = forms.ChoiceField(label="Time zone", choices=_zones, help_text="In which a day begins and ends.")
    minutes = forms.IntegerField(
        label="Minutes a task counts at most",
        min_value=1,
        max_value=240,
        help_text="What is longer was most likely a break.",
    )

    @staticmethod
    def of_query(query: QueryDict, *, today: date) -> PeriodForm:
        """Return the form as the query fills it: what it leaves out is that of the current month."""
        month = {"first": today.replace(day=1), "last": today, "zone": "UTC", "minutes": MINUTES}
        return PeriodForm(month | query.dict())

    def clean(self) -> dict[str, Any]:
        """Raises: ValidationError for a period that is reversed, out of range, or over a year long."""
        cleaned: dict[str, Any] = super().clean() or {}
        first, last = cleaned.get("first"), cleaned.get("last")
        if first and last and last < first:
            self.add_error("last", "The period ends before it begins.")
        elif first and last and last - first > LONGEST_PERIOD:
            self.add_error("last", "A period is a year at most.")
        elif last == date.max:
            self.add_error("last", "No day comes after this one.")
        return cleaned

    def period(self) -> Period:
        """The period, of a valid form."""
        cleaned = self.cleaned_data
        longest = timedelta(minutes=cleaned["minutes"])
        return Period(cleaned["first"], cleaned["last"], ZoneInfo(cleaned["zone"]), longest)
