"""Sending the mails that were asked for: a row each, until the server for mail took it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from annotation.models import RequestedMail, User
from annotation.services.people.email_addresses import mail_confirmation
from annotation.services.people.resets import accounts_to_mail, mail_reset_link

logger = logging.getLogger(__name__)
Kind = RequestedMail.Kind
WAITS = [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 10)]  # after the first, second ... refusal
LATEST = timedelta(hours=1)  # nobody waits for it any longer


def request_reset_mails(*, address: str, link: str, now: datetime) -> None:
    """Store that each account with this address, if there is any, gets a link for a new password.

    Args: link: with `KEY` in it, where the secret part goes.
    """
    RequestedMail.objects.create(kind=Kind.RESET, address=address, link=link, requested_at=now)


def request_confirmation(*, user: User, address: str, link: str, now: datetime) -> None:
    """Store that a mail to this address asks whether it is the user's. Args: as above."""
    RequestedMail.objects.create(
        kind=Kind.CONFIRMATION, user=user, address=address, link=link, requested_at=now
    )


def send_due_mails(*, now: datetime) -> None:
    """Send what is due. What the server refused is tried again after WAITS, and given up after LATEST."""
    while _send_next(now):
        pass


@transaction.atomic
def _send_next(now: datetime) -> bool:
    """Send one mail. Returns: whether any was due."""
    due = RequestedMail.objects.filter(Q(not_before=None) | Q(not_before__lte=now))
    mail = due.select_for_update(skip_locked=True, of=("self",)).select_related("user").first()
    if mail is None:
        return False
    if mail.attempts > len(WAITS) or mail.requested_at < now - LATEST:
        logger.error("%s is given up after %d attempts", mail, mail.attempts)
        mail.delete()
    elif mail.user is None:
        RequestedMail.objects.bulk_create(
            RequestedMail(
                kind=mail.kind, user=user, address=user.email, link=mail.link, requested_at=mail.requested_at
            )
            for user in accounts_to_mail(mail.address)
        )
        mail.delete()
    else:
        _try(mail, mail.user, now)
    return True


def _try(mail: RequestedMail, user: User, now: datetime) -> None:
    try:
        with transaction.atomic():
            if mail.kind == Kind.RESET:
                mail_reset_link(user=user, link=mail.link, now=now)
            else:
                mail_confirmation(user=user, address=mail.address, link=mail.link, now=now)
    except OSError as error:
        logger.warning("%s: the server for mail did not take it: %r", mail, error)
        mail.attempts += 1
        mail.not_before = now + WAITS[min(mail.attempts, len(WAITS)) - 1]
        mail.save(update_fields=["attempts", "not_before"])
    else:
        mail.delete()
