"""More ways to sign in, off by default: second factors, passkeys and single sign-on, by django-allauth.

Without any of them nothing of allauth is loaded: no app, no table, no address, no middleware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FACTORS = {"totp": "totp", "passkeys": "webauthn"}  # as SECOND_FACTORS names them, as allauth does
ROLES = ("annotator", "inspector", "researcher", "admin")
PROVIDER = "sso"  # the one provider's name in addresses and rows


@dataclass(frozen=True)
class Issuer:
    """An OpenID Connect issuer that people sign in by."""

    address: str  # whose /.well-known/openid-configuration is read
    client_id: str
    client_secret: str
    name: str  # as the button says it


def parse_roles(rules: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return (value of the claim, slug, role) of each `VALUE=PROJECT:ROLE`. Raises: ValueError."""
    parsed = []
    for rule in rules:
        value, _, target = rule.rpartition("=")
        slug, _, role = target.rpartition(":")
        if not value or not slug or role not in ROLES:
            raise ValueError(f"OIDC_ROLES: {rule!r} is not VALUE=PROJECT:ROLE with one of {', '.join(ROLES)}")
        parsed.append((value, slug, role))
    return parsed


def apps_of(factors: Sequence[str], issuer: Issuer | None) -> list[str]:
    """Return the apps that these ways need. Raises: ValueError for an unknown factor."""
    if unknown := set(factors) - set(FACTORS):
        raise ValueError(f"SECOND_FACTORS knows {' and '.join(FACTORS)}, not {', '.join(sorted(unknown))}")
    if not factors and issuer is None:
        return []
    social = ["allauth.socialaccount", "allauth.socialaccount.providers.openid_connect"]
    return ["allauth", "allauth.account", *(["allauth.mfa"] if factors else []), *(social if issuer else [])]


def settings_of(factors: Sequence[str], issuer: Issuer | None, *, https: bool) -> dict[str, Any]:
    """Return allauth's settings. Its own pages for passwords and signing up have no address here."""
    return {
        "ACCOUNT_ADAPTER": "annotation.identity.accounts.AccountAdapter",
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_EMAIL_NOTIFICATIONS": False,
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*"],
        "ACCOUNT_PREVENT_ENUMERATION": False,  # nobody gives an address here: see SocialAdapter
        "MFA_ADAPTER": "annotation.identity.factors.FactorAdapter",
        "MFA_SUPPORTED_TYPES": ["recovery_codes", *(FACTORS[factor] for factor in factors)],
        "MFA_PASSKEY_LOGIN_ENABLED": "passkeys" in factors,
        "MFA_TOTP_TOLERANCE": 1,  # a clock may be half a minute off
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": not https,  # browsers allow it on localhost alone
        "SOCIALACCOUNT_ADAPTER": "annotation.identity.sign_on.SocialAdapter",
        "SOCIALACCOUNT_EMAIL_VERIFICATION": "none",
        # By a link: the page's policy lets no form be redirected to another host.
        "SOCIALACCOUNT_LOGIN_ON_GET": True,
        "SOCIALACCOUNT_STORE_TOKENS": False,
        "SOCIALACCOUNT_PROVIDERS": {"openid_connect": {"APPS": [_app(issuer)], "OAUTH_PKCE_ENABLED": True}}
        if issuer
        else {},
        # Codes that were used, and attempts, are known to all web processes: a table that a migration makes.
        "CACHES": {
            "default": {
                "BACKEND": "django.core.cache.backends.db.DatabaseCache",
                "LOCATION": "annotation_cache",
            }
        },
    }


def _app(issuer: Issuer) -> dict[str, Any]:
    return {
        "provider_id": PROVIDER,
        "name": issuer.name,
        "client_id": issuer.client_id,
        "secret": issuer.client_secret,
        "settings": {"server_url": issuer.address.rstrip("/")},
    }
