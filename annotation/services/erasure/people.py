"""Erasing a person: their account, and their name wherever it was written down."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Q

from annotation.models import (
    Acknowledgement,
    Action,
    Event,
    Membership,
    Pause,
    Qualification,
    Review,
    Seal,
    User,
)
from annotation.services.actions import record_action
from annotation.services.erasure.answers import give_back_tasks, remove_answers

# What explains answers that stay; everything else that hangs on an account goes.
EXPLAINS = (Acknowledgement, Pause, Qualification)
SESSIONS = (Action.Kind.SIGNED_IN, Action.Kind.SIGN_IN_FAILED, Action.Kind.SIGNED_OUT)

ABOUT_ROLES = (Action.Kind.INVITED, Action.Kind.INVITATION_REVOKED, Action.Kind.JOINED)  # by their subject


class CannotErase(Exception):
    """Nobody else could do what this person alone may do; the message says what, and what would help."""


@dataclass(frozen=True)
class Erased:
    """What was done.

    Args:
        pseudonym: the account's name from now on.
        answers: removed ones. staying: answers that stay, under the pseudonym.
        entries: of the log in which the name, or where they signed in, was replaced.
    """

    pseudonym: str
    answers: int
    staying: int
    entries: int


@transaction.atomic
def erase_person(user: User, *, keep_answers: bool, by: User | None = None) -> Erased:
    """Make an account nobody's, and replace its name wherever it was written down.

    1. Give back the tasks before them; remove their answers, or keep them under the pseudonym.
    2. Close the account: no name, address, password, role, token, session or second factor is left.
    3. Replace the name in the log, in reasons that people wrote, and in events for webhooks.

    Exports and datasets name nobody; backups of before do, until they are removed.

    Raises: CannotErase.
    """
    user = User.objects.select_for_update().get(pk=user.pk)
    _check_others(user)
    name, pseudonym = user.username, f"erased-{secrets.token_hex(4)}"
    give_back_tasks(user)
    removed, staying = (0, user.assignments.count()) if keep_answers else remove_answers(user)
    _close_account(user, pseudonym, keep=EXPLAINS if staying else ())
    _replace_in_texts(name, pseudonym)
    entries = _replace_in_log(user, name, pseudonym)
    details: dict[str, Any] = {"entries": entries, "answers_removed": removed, "answers_kept": staying}
    record_action(Action.Kind.ERASED, project=None, by=by, subject=pseudonym, **details)
    return Erased(pseudonym, removed, staying, entries)


def _check_others(user: User) -> None:
    """Raises: CannotErase."""
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    if user.is_superuser and not others.exists():
        raise CannotErase(f"{user.username} is the only superuser: make another one first")
    admins = Membership.objects.filter(role=Membership.Role.ADMIN)
    for membership in admins.filter(user=user).select_related("project"):
        if not admins.filter(project=membership.project).exclude(user=user).exists():
            raise CannotErase(
                f"{user.username} is the only admin of {membership.project.slug}: make another one first"
            )


def _close_account(user: User, pseudonym: str, *, keep: tuple[type[models.Model], ...]) -> None:
    user.username, user.first_name, user.last_name, user.email = pseudonym, "", "", ""
    user.is_active = user.is_staff = user.is_superuser = False
    user.last_login = None
    user.sessions_version += 1
    user.set_unusable_password()
    user.save()
    user.groups.clear()
    user.user_permissions.clear()
    for relation in User._meta.related_objects:  # also those of other packages, as second factors
        if relation.on_delete is models.CASCADE and relation.related_model not in keep:
            rows = relation.related_model._base_manager
            rows.filter(**{relation.field.name: user}).delete()


def _replace_in_texts(name: str, pseudonym: str) -> None:
    """Replace the name in what people wrote about answers and annotators, and in events not yet forgotten."""
    for model in (Pause, Qualification, Review):
        for row in model._base_manager.filter(reason__icontains=name):
            row.reason = _replaced(row.reason, name, pseudonym)
            row.save(update_fields=["reason"])
    for event in Event.objects.extra(where=["data::text ILIKE %s"], params=[_like(name)]):
        event.data = _replaced(event.data, name, pseudonym)
        event.save(update_fields=["data"])


def _replace_in_log(user: User, name: str, pseudonym: str) -> int:
    """Replace the name in the log, and forget the addresses that they signed in from.

    Returns: entries whose salt is gone from now on: what stood there cannot be guessed.
    """
    entries = 0
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS annotation_seal_action IMMEDIATE")  # what this transaction logged
        cursor.execute("SET CONSTRAINTS annotation_seal_action DEFERRED")
        cursor.execute("SET LOCAL laurel.log = 'erase'")
        own = Q(kind__in=SESSIONS) & (Q(actor=user) | Q(subject=name))
        mentions = Action.objects.extra(
            where=["subject ILIKE %s OR details::text ILIKE %s"], params=[_like(name), _like(name)]
        )
        for action in (mentions | Action.objects.filter(own)).order_by("pk").iterator(chunk_size=1000):
            is_role = action.kind in ABOUT_ROLES
            subject = action.subject if is_role else _replaced(action.subject, name, pseudonym)
            details = {} if action.kind in SESSIONS else _without_name(action.details, name, pseudonym)
            if (subject, details) != (action.subject, action.details):
                Action.objects.filter(pk=action.pk).update(subject=subject, details=details)
                entries += Seal.objects.filter(action=action.pk).exclude(salt="").update(salt="")
        cursor.execute("SET LOCAL laurel.log = ''")
    return entries


def _without_name(details: dict[str, Any], name: str, pseudonym: str) -> dict[str, Any]:
    """Somebody may be called as a role is, which stays."""
    return {
        key: value if key == "role" else _replaced(value, name, pseudonym) for key, value in details.items()
    }


def _replaced(value: Any, name: str, pseudonym: str) -> Any:
    """Replace the name, as a word of its own, in a text or in all texts of JSON."""
    if isinstance(value, str):
        return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", pseudonym, value, flags=re.IGNORECASE)
    if isinstance(value, dict):
        return {key: _replaced(each, name, pseudonym) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, name, pseudonym) for each in value]
    return value


def _like(name: str) -> str:
    """Return a pattern of ILIKE for texts, and JSON as text, in which the name may stand."""
    escaped = json.dumps(name, ensure_ascii=False)[1:-1].replace("\\", "\\\\")
    return "%" + escaped.replace("%", r"\%").replace("_", r"\_") + "%"
