"""Inviting somebody by a link, and making an account to follow one."""

from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm

from annotation.models import Membership, User

INVITED = [role for role in Membership.Role if role != Membership.Role.ADMIN]


class InvitationForm(forms.Form):
    """Whom a link lets in, how many, and how long."""

    role = forms.ChoiceField(choices=[(role.value, role.label) for role in INVITED])
    uses = forms.IntegerField(label="How many people", min_value=1, max_value=1000, initial=1)
    days = forms.IntegerField(label="Days it is valid", min_value=1, max_value=90, initial=7)

    def expires_at(self, now: datetime) -> datetime:
        """Of a valid form."""
        return now + timedelta(days=self.cleaned_data["days"])


class JoiningForm(BaseUserCreationForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The name and password of a new account."""

    class Meta:
        model = User
        fields = ("username",)
