"""Where allauth asks this app how a session begins, and what an account is called."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.utils import get_next_redirect_url
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url

from annotation.addresses import client_address
from annotation.models import User
from annotation.names import skeleton
from annotation.services.people.accounts import propose_name
from annotation.sessions import begin_session
from annotation.views.accounts import know_device


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by invitations and admins; sessions begin as they do by password."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        begin_session(request, user, address=client_address(request))

    def post_login(self, request: HttpRequest, user: User, **options: Any) -> HttpResponse:
        onward = options.get("redirect_url") or get_next_redirect_url(request) or resolve_url("home")
        return know_device(HttpResponseRedirect(onward), user)

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Name the account as the issuer does where that name is free, else with a number."""
        wish = "".join(letter for letter in user.username or user.email.partition("@")[0] if _fits(letter))
        wish = (wish or "person")[:100]
        is_free = not User.objects.filter(skeleton=skeleton(wish)).exists()
        user.username = wish if is_free else propose_name(wish)


def _fits(letter: str) -> bool:
    return letter.isalnum() or letter in "@.+-_"
