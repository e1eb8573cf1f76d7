"""Forms sent after the session had ended, kept for a day for the user that their page was shown to."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db import transaction

from annotation.models import UnsentForm, User

MARK = "form_user"  # the field by which a form says whose it is
LIFE = timedelta(days=1)  # ours
MOST = 20  # of a user; ours
SECRET = re.compile("password|secret|token|code", re.IGNORECASE)

_signer = Signer(salt="annotation.unsent_forms")


def mark_of(user: User) -> str:
    """Return what a form says of whom it was shown to. Only pages shown to this user hold it."""
    return _signer.sign(str(user.pk))


def user_of_mark(mark: str) -> User | None:
    """Return the user that a form was shown to, or None if the mark is missing, forged or of nobody now."""
    try:
        return User.objects.filter(pk=_signer.unsign(mark), is_active=True).first()
    except BadSignature:
        return None


def is_secret(name: str) -> bool:
    """Return whether a field of this name holds what must not be kept, such as a password."""
    return SECRET.search(name) is not None


@transaction.atomic
def keep_form(
    *,
    user: User,
    address: str,
    fields: Sequence[tuple[str, str]],
    files: Sequence[tuple[str, str]],
    now: datetime,
) -> UnsentForm:
    """Keep what was typed. Older forms than LIFE go, and a user's oldest beyond MOST.

    Args:
        fields: name and value of each, in order, without secrets.
        files: name and file name of each; their content is not kept.
    """
    User.objects.select_for_update().get(pk=user.pk)  # so that no two requests both find room for one more
    UnsentForm.objects.filter(created_at__lte=now - LIFE).delete()
    kept = UnsentForm.objects.filter(user=user).order_by("-created_at").values("pk")[: MOST - 1]
    UnsentForm.objects.filter(user=user).exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()
    return UnsentForm.objects.create(
        user=user,
        address=address,
        fields=[[_storable(name), _storable(value)] for name, value in fields],
        files=[[_storable(name), _storable(file)] for name, file in files],
        created_at=now,
    )


def forget_form(*, user: User, token: str) -> None:
    """Delete a form of the user that has been sent. What is no token of theirs is ignored."""
    with contextlib.suppress(ValidationError):  # it is no UUID
        UnsentForm.objects.filter(user=user, token=token).delete()


def _storable(text: str) -> str:
    return text.replace("\0", "")
