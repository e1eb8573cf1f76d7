"""Where allauth asks this app about second factors."""

from __future__ import annotations

from allauth.mfa.adapter import DefaultMFAAdapter

from annotation.models import User


class FactorAdapter(DefaultMFAAdapter):
    """Second factors, as authenticator apps show them."""

    def get_totp_label(self, user: User) -> str:
        return user.username

    def get_totp_issuer(self) -> str:
        return "Laurel"
