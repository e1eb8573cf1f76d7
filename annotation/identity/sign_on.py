"""Where allauth asks this app about single sign-on: who gets an account, and who may link one."""

from __future__ import annotations

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils import timezone

from annotation.identity.roles import follow_claim, may_open_account
from annotation.identity.views import CONNECTING
from annotation.models import User

TIMEOUT = 10  # seconds that the issuer has for an answer


class SocialAdapter(DefaultSocialAccountAdapter):
    """Single sign-on: an identity opens the account that it is linked to; who else gets one, see `roles`.

    An identity is known by issuer and subject alone. Addresses are never matched: whoever could set one at
    the issuer would get the account.
    """

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        claims = claims_of(sociallogin)
        if sociallogin.state.get("process") == "connect":
            if not request.session.pop(CONNECTING, False):  # or a link elsewhere could make people do it
                self._refuse(request, "Link it from your account page.", "account")
        elif sociallogin.is_existing:
            if sociallogin.user.is_active:
                follow_claim(sociallogin.user, claims)
        elif not self.is_open_for_signup(request, sociallogin):
            self._refuse(
                request,
                "No account here is linked to you. Follow an invitation first, or ask an admin.",
                "sign-in",
            )

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return may_open_account(
            claims=claims_of(sociallogin),
            invitation=_invitation(sociallogin.state.get("next") or ""),
            now=timezone.now(),
        )

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        """Take the name, and an address only where the issuer verified it: links for passwords go there."""
        user: User = super().populate_user(request, sociallogin, data)
        if claims_of(sociallogin).get("email_verified") is not True:
            user.email = ""
        sociallogin.email_addresses = []
        return user

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        follow_claim(user, claims_of(sociallogin))
        return user

    def get_requests_session(self) -> Any:
        session = super().get_requests_session()
        send = session.request
        session.request = lambda *arguments, **options: send(*arguments, **{"timeout": TIMEOUT, **options})
        return session

    def _refuse(self, request: HttpRequest, text: str, page: str) -> None:
        messages.error(request, text)
        raise ImmediateHttpResponse(redirect(page))


def _invitation(onward: str) -> str:
    """Return the secret part of the invitation that the person goes on to, or ""."""
    try:
        match = resolve(onward)
    except Resolver404:
        return ""
    return str(match.kwargs["token"]) if match.url_name == "join" else ""


def claims_of(sociallogin: Any) -> dict[str, Any]:
    """Return what the issuer says of somebody: of the ID token, and of the userinfo where that is silent."""
    data = sociallogin.account.extra_data
    return {**data.get("userinfo", {}), **data.get("id_token", {})}
