"""The address that links for a new password go to: a user's once a mail to it was answered."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.core import signing
from django.core.mail import send_mail
from django.db import transaction

from annotation.models import Action, User
from annotation.services.actions import record_action
from annotation.services.people.rates import count_request, requests_in_minute

CONFIRMED_WITHIN = 24 * 60 * 60  # seconds
SALT = "annotation.email"

CONFIRM = """The account {name} wants to use this address, to get links for a new password.
If that is you, confirm it within a day, in a browser where you are signed in:

{link}

If it was not you, there is nothing to do.
"""


class ConfirmationOver(Exception):
    """The link is another's, has expired, or is not complete."""


def mail_confirmation(*, user: User, address: str, link: str, now: datetime) -> None:
    """Send the link that makes this the user's address, at most once a minute.

    Args: link: with `KEY` in it, where the secret part goes.
    Raises: OSError: the server for mail did not take it.
    """
    if is_confirmation_withheld(address, now=now):
        return
    key = signing.dumps([user.pk, address], salt=SALT)
    body = CONFIRM.format(name=user.username, link=link.replace("KEY", key))
    send_mail("Confirm your address for Laurel", body, None, [address])
    count_request(_confirmation_to(address), now=now)


def is_confirmation_withheld(address: str, *, now: datetime) -> bool:
    """Return whether a mail to confirm this address was sent in this minute, so that no other is."""
    return requests_in_minute(_confirmation_to(address), now=now) > 0


def address_in(key: str, *, user: User) -> str:
    """Return the address that a link confirms for this user. Raises: ConfirmationOver."""
    try:
        pk, address = signing.loads(key, salt=SALT, max_age=CONFIRMED_WITHIN)
    except signing.BadSignature:
        raise ConfirmationOver from None
    if pk != user.pk:
        raise ConfirmationOver
    return str(address)


@transaction.atomic
def change_address(*, user: User, address: str) -> None:
    """Make a confirmed address the user's, or none."""
    user.email = address
    user.save(update_fields=["email"])
    record_action(Action.Kind.EMAIL_CHANGED, project=None, by=user, subject=user)


def _confirmation_to(address: str) -> str:
    """Return the name that mails to this address are counted under, which does not give it away."""
    return f"confirmation {hashlib.sha256(address.casefold().encode()).hexdigest()[:40]}"
