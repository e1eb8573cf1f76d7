"""Limits on attempts to guess a password, which slow whoever guesses and let the owner in.

Attempts are counted here, in the database, and not by django-axes: it counts after the password is checked,
so that a burst of requests gets past its limit, and it relies on signals. This counts before, in one
transaction.

A browser that signed in to the account before is counted apart, by a signed cookie, so that no stranger can
keep the owner out. Source: OWASP, "Slow Down Online Guessing Attacks with Device Cookies".
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.core.signing import BadSignature, Signer
from django.db import connection, transaction
from django.utils.crypto import salted_hmac

from annotation.models import SignInAttempt, User
from annotation.names import skeleton

WINDOW = timedelta(minutes=15)
# Wrong passwords within the window. An office shares one address, so its limit is higher.
MOST_FOR_ACCOUNT_FROM_ADDRESS = 5
MOST_FROM_DEVICE = 5
MOST_FROM_DEVICES = 20  # from all of an account; past that they are counted as browsers not known
MOST_FOR_ADDRESS = 50
# After so many from browsers not known, an account is slowed: it is asked for once in SPACING, and an address
# that has just tried gives way to others.
SLOWED_AFTER = 50
MOST_FROM_ADDRESS_WHILE_SLOWED = 2
SPACING = timedelta(seconds=20)


class TooManyAttempts(Exception):
    """No password is checked before `until`, not even the right one, nor for names that do not exist."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"no attempt before {until}")
        self.until = until


@transaction.atomic
def begin_attempt(*, name: str, address: str, device: str, now: datetime) -> SignInAttempt:
    """Count an attempt before the password is checked: concurrent ones cannot exceed the limits.

    Args: device: what `device_of` returned of the browser's cookie. Raises: TooManyAttempts.
    """
    account = digest_of_name(name)
    _lock(f"address {address}")
    _lock(f"account {account}")
    SignInAttempt.objects.filter(at__lte=now - WINDOW).delete()
    from_devices = SignInAttempt.objects.filter(account=account).exclude(device="")
    if device and from_devices.count() >= MOST_FROM_DEVICES:
        device = ""
    if device:
        _admit(MOST_FROM_DEVICE, account=account, device=device)
    else:
        _admit(MOST_FOR_ADDRESS, address=address, device="")
        _admit(MOST_FOR_ACCOUNT_FROM_ADDRESS, account=account, address=address, device="")
        if (newest := _is_slowed(account)) is not None:
            _admit(MOST_FROM_ADDRESS_WHILE_SLOWED, account=account, address=address, device="")
            if now < newest + SPACING:
                raise TooManyAttempts(newest + SPACING)
    return SignInAttempt.objects.create(account=account, address=address, device=device, at=now)


def forgive_attempts(attempt: SignInAttempt) -> None:
    """Delete what the same browser, or one at the same address, mistyped before the right password."""
    scope = {"device": attempt.device} if attempt.device else {"address": attempt.address, "device": ""}
    SignInAttempt.objects.filter(account=attempt.account, **scope).delete()


def _admit(limit: int, **scope: str) -> None:
    """Raises: TooManyAttempts when the limit is reached, until its oldest attempt leaves the window."""
    newest = list(SignInAttempt.objects.filter(**scope).order_by("-at").values_list("at", flat=True)[:limit])
    if len(newest) == limit:
        raise TooManyAttempts(newest[-1] + WINDOW)


def _is_slowed(account: str) -> datetime | None:
    """Return the time of the newest attempt if unknown browsers made too many, else None."""
    times = SignInAttempt.objects.filter(account=account, device="").order_by("-at")
    newest = list(times.values_list("at", flat=True)[:SLOWED_AFTER])
    return newest[0] if len(newest) == SLOWED_AFTER else None


def _lock(name: str) -> None:
    """Hold an advisory lock on the name until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sign-in {name}"])


def digest_of_name(name: str) -> str:
    """Return the digest of the account name, the same for all spellings of it."""
    return salted_hmac("annotation.sign-in", skeleton(name), algorithm="sha256").hexdigest()


def device_cookie(user: User) -> tuple[str, str]:
    """Return name and value of a cookie that lets the browser be counted apart when it signs in again.

    It opens nothing: it only says that somebody knew the account's password, of now, at this browser.
    """
    return cookie_name(user.username), _signer(user).sign(secrets.token_urlsafe(16))


def cookie_name(name: str) -> str:
    """Return the name of the account's cookie: several people may share a browser.

    No key is in it, so that a new SECRET_KEY leaves browsers known.
    """
    return f"device_{hashlib.sha256(skeleton(name).encode()).hexdigest()[:16]}"


def device_of(cookie: str, *, name: str) -> str:
    """Return what to count a browser as, by its cookie for this account; blank where it is not valid.

    It is valid until the password changes or the account is signed out everywhere: whoever knew an earlier
    password is a stranger.
    """
    user = User.objects.filter(username=name).first() if cookie else None
    try:
        return _signer(user).unsign(cookie) if user else ""
    except BadSignature:
        return ""


def _signer(user: User) -> Signer:
    return Signer(salt=f"annotation.device {user.pk} {user.sessions_version} {user.password}")
