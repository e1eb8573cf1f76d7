"""Signing in at an OpenID Connect issuer, by the code flow with PKCE."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


class VerifiedIssuer(OpenIDConnectOAuth2Adapter):
    """allauth's, which also checks the ID token's signature, and that the userinfo is of the same person.

    Source: OpenID Connect Core 1.0, sections 3.1.3.7 and 5.3.2.
    """

    def complete_login(self, request: HttpRequest, app: SocialApp, token: Any, **options: Any) -> Any:
        if "id_token" not in options["response"]:
            raise OAuth2Error("the issuer sent no ID token")
        self.did_fetch_access_token = False  # else the signature is left to TLS
        login = super().complete_login(request, app, token, **options)
        data = login.account.extra_data
        if data["userinfo"]["sub"] != data["id_token"]["sub"]:
            raise OAuth2Error("the userinfo is of somebody else")
        return login


@require_safe
@never_cache
def login(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Redirect to the issuer."""
    return _view(OAuth2LoginView, request, provider_id)


@require_safe
@never_cache
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Take what the issuer redirected back with."""
    return _view(OAuth2CallbackView, request, provider_id)


def _view(view: Any, request: HttpRequest, provider_id: str) -> HttpResponse:
    response: HttpResponse = view.adapter_view(VerifiedIssuer(request, provider_id))(request)
    return response
