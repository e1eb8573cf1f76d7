"""Forms for signing in and for the user's own account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.forms import SetPasswordForm, UsernameField
from django.core.signing import BadSignature, Signer

from annotation.access import MAY, Do, projects_where
from annotation.models import ApiToken, Membership, Project, User

PASSWORD_LENGTH = 4096  # hashing time grows with the length
PASSWORD_RULE = "8 characters at least; not digits alone, not like your name, and none that many people use."


def _password(label: str, autocomplete: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        strip=False,
        max_length=PASSWORD_LENGTH,
        help_text=help_text,
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete}),
    )


class SignInForm(forms.Form):
    """A name and a password, which the service verifies."""

    username = UsernameField(
        label="User name", max_length=150, widget=forms.TextInput(attrs={"autofocus": True})
    )
    password = _password("Password", "current-password")


class ChangePasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The current password, and the new one twice."""

    old_password = _password("Password so far", "current-password")
    new_password1 = _password("New password", "new-password", PASSWORD_RULE)
    new_password2 = _password("New password again", "new-password")
    field_order = ["old_password", "new_password1", "new_password2"]


class ResetForm(SetPasswordForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A new password, twice."""

    new_password1 = _password("New password", "new-password", PASSWORD_RULE)
    new_password2 = _password("New password again", "new-password")


class ForgottenForm(forms.Form):
    """Where a link may go."""

    email = forms.EmailField(
        label="Mail address",
        max_length=User._meta.get_field("email").max_length,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class AddressForm(ForgottenForm):
    """A new address, and the password: whoever reads its mail can set another."""

    password = _password("Password", "current-password")


class ConfirmForm(forms.Form):
    """The password once more."""

    password = _password("Password", "current-password")


class TokenForm(forms.Form):
    """A new token."""

    name = forms.CharField(
        max_length=ApiToken._meta.get_field("name").max_length,
        help_text="What will use it.",
    )
    project = forms.ModelChoiceField(
        Project.objects.none(), required=False, empty_label="All projects of mine", label="For"
    )
    reads_only = forms.BooleanField(
        label="Only reads", required=False, help_text="It fetches, and changes nothing in your name."
    )
    days = forms.TypedChoiceField(
        label="Valid for",
        choices=[("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "ever")],
        initial="90",
        required=False,
        coerce=int,
        empty_value=None,
    )

    def __init__(self, *args: Any, user: User, **options: Any) -> None:
        super().__init__(*args, **options)
        projects = self.fields["project"]
        assert isinstance(projects, forms.ModelChoiceField)
        projects.queryset = projects_where(user, Do.SEE).order_by("name")


# Links can be passed on, so admins are added by name only.
INVITED = [role for role in Membership.Role if Do.ADMINISTER not in MAY[role]]


class InvitationForm(forms.Form):
    """A link's role, number of uses, and days until it expires."""

    role = forms.ChoiceField(choices=[(role.value, role.label) for role in INVITED])
    uses = forms.IntegerField(label="How many people", min_value=1, max_value=1000, initial=1)
    days = forms.IntegerField(label="Days it is valid", min_value=1, max_value=90, initial=7)

    def expires_at(self, now: datetime) -> datetime:
        """The expiry, of a valid form."""
        return now + timedelta(days=self.cleaned_data["days"])


class WishForm(forms.Form):
    """The name that somebody who joins would like; a number is added to it."""

    wish = UsernameField(
        label="Your name",
        max_length=(User._meta.get_field("username").max_length or 0) - len("-999"),
        validators=User._meta.get_field("username").validators,
        help_text="Letters, digits and @.+-_ without spaces. A number is added, so that it is yours alone.",
        widget=forms.TextInput(attrs={"autofocus": True}),
    )


class JoiningForm(SetPasswordForm):  # type: ignore[type-arg]  # not subscriptable when it runs
    """The password of a new account, whose name was proposed: the proposal is signed, so that it is ours."""

    proposal = forms.CharField(widget=forms.HiddenInput)
    new_password1 = _password("Password", "new-password", PASSWORD_RULE)
    new_password2 = _password("Password again", "new-password")
    field_order = ["proposal", "new_password1", "new_password2"]

    @staticmethod
    def sign(name: str) -> str:
        return _PROPOSALS.sign(name)

    @staticmethod
    def name_in(proposal: str) -> str | None:
        """Return the name that was proposed, or None."""
        try:
            return _PROPOSALS.unsign(proposal)
        except BadSignature:
            return None


_PROPOSALS = Signer(salt="annotation.joining")
