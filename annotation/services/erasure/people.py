"""Erasing a person: their account, and their name wherever it was written down."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction
from django.db.models import Q

from annotation.access import Do, members_who, roles_that
from annotation.models import (
    Acknowledgement,
    Action,
    Event,
    Pause,
    Project,
    Qualification,
    Reference,
    Review,
    Seal,
    Skip,
    User,
)
from annotation.models.actions import KINDS_ABOUT_PEOPLE
from annotation.services.actions import record_action
from annotation.services.erasure.answers import give_back_tasks, remove_answers

# What explains answers that stay; everything else that hangs on an account goes.
EXPLAINS = (Acknowledgement, Pause, Qualification)
SESSIONS = (Action.Kind.SIGNED_IN, Action.Kind.SIGN_IN_FAILED, Action.Kind.SIGNED_OUT)
# What people write about answers and each other: model, field, and its project.
TEXTS: tuple[tuple[type[models.Model], str, str], ...] = (
    (Pause, "reason", "project"),
    (Qualification, "reason", "project"),
    (Review, "reason", "assignment__project"),
    (Skip, "note", "assignment__project"),
    (Reference, "note", "prompt__project"),
)


REWRITTEN = """
SELECT seal.number, encode(sha256(convert_to(annotation_action_words(action), 'UTF8')), 'hex')
FROM annotation_seal AS seal JOIN annotation_action AS action ON action.id = seal.action_id
WHERE action.id = ANY(%s) ORDER BY seal.number
"""


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
    3. Replace the name in the log, and in reasons and events of the projects that they had to do with.

    Exports and datasets name nobody; backups of before do, until they are removed.

    Raises: CannotErase.
    """
    user = _lock(user)
    _check_others(user)
    name, pseudonym = user.username, f"erased-{secrets.token_hex(4)}"
    projects = _projects_of(user)
    give_back_tasks(user)
    removed, staying = (0, user.assignments.count()) if keep_answers else remove_answers(user)
    _close_account(user, pseudonym, keep=EXPLAINS if staying else ())
    _replace_in_texts(name, pseudonym, projects=projects)
    entries, rewritten = _replace_in_log(user, name, pseudonym, projects=projects)
    details: dict[str, Any] = {"entries": entries, "answers_removed": removed, "answers_kept": staying}
    details["rewritten"] = rewritten
    record_action(Action.Kind.ERASED, project=None, by=by, subject=pseudonym, **details)
    return Erased(pseudonym, removed, staying, entries)


def _lock(user: User) -> User:
    """Lock whom and what `_check_others` counts: of two who are erased at once the second sees the first."""
    superusers = Q(is_superuser=True) if user.is_superuser else Q()
    locked = User.objects.select_for_update().filter(Q(pk=user.pk) | superusers).order_by("pk")
    users = {each.pk: each for each in locked}
    projects = Project.objects.filter(pk__in=user.memberships.values("project"))
    list(projects.select_for_update(no_key=True).order_by("pk"))
    return users[user.pk]


def _check_others(user: User) -> None:
    """Raises: CannotErase."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    if user.is_superuser and not others.filter(is_superuser=True).exists():
        raise CannotErase(f"{user.username} is the only superuser: make another one first")
    own = user.memberships.filter(role__in=roles_that(Do.ADMINISTER)).select_related("project")
    for project in [membership.project for membership in own]:
        if not members_who(project, Do.ADMINISTER).filter(user__in=others).exists():
            raise CannotErase(f"{user.username} is the only admin of {project.slug}: make another one first")


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


def _projects_of(user: User) -> list[int]:
    """Return the projects that they have to do with: only there can somebody have written about them."""
    about = Q(actor=user) | Q(kind__in=KINDS_ABOUT_PEOPLE, subject=user.username)
    rows = (
        Action.objects.filter(about, project__isnull=False),
        *(user.memberships, user.assignments, user.pauses, user.qualifications),
    )
    return sorted({pk for each in rows for pk in each.values_list("project", flat=True)})


def _replace_in_texts(name: str, pseudonym: str, *, projects: list[int]) -> None:
    """Replace the name in what people wrote about answers and annotators, and in events not yet forgotten."""
    for model, field, project in TEXTS:
        rows = model._base_manager.filter(**{f"{project}__in": projects, f"{field}__icontains": name})
        for row in rows:
            setattr(row, field, _replaced(getattr(row, field), name, pseudonym))
            row.save(update_fields=[field])
    by_name = Q(data__annotator=name) | Q(data__inspector=name)
    for event in Event.objects.filter(by_name | Q(project__in=projects, data__reason__icontains=name)):
        people = {key: pseudonym for key in ("annotator", "inspector") if event.data.get(key) == name}
        event.data = _with_reason(event.data | people, name, pseudonym)
        event.save(update_fields=["data"])


def _replace_in_log(
    user: User, name: str, pseudonym: str, *, projects: list[int]
) -> tuple[int, dict[str, str]]:
    """Replace the name in the log, and forget the addresses that they signed in from.

    Returns: how many entries have no salt from now on, so that what stood there cannot be guessed; and of
        all that were rewritten the number of the seal -> the hash of what stands there now.
    """
    entries, changed = 0, []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS annotation_seal_action IMMEDIATE")  # what this transaction logged
        cursor.execute("SET CONSTRAINTS annotation_seal_action DEFERRED")
        cursor.execute("SET LOCAL laurel.log = 'erase'")
        about = Q(kind__in=KINDS_ABOUT_PEOPLE, subject=name) | Q(kind__in=SESSIONS, actor=user)
        mentions = Q(project__in=projects, details__reason__icontains=name)
        for action in Action.objects.filter(about | mentions).order_by("pk").iterator(chunk_size=1000):
            is_about = action.kind in KINDS_ABOUT_PEOPLE and action.subject == name
            subject = pseudonym if is_about else action.subject
            details = {} if action.kind in SESSIONS else _with_reason(action.details, name, pseudonym)
            if (subject, details) != (action.subject, action.details):
                Action.objects.filter(pk=action.pk).update(subject=subject, details=details)
                entries += Seal.objects.filter(action=action.pk).exclude(salt="").update(salt="")
                changed.append(action.pk)
        cursor.execute("SET LOCAL laurel.log = ''")
        cursor.execute(REWRITTEN, [changed])
        return entries, {str(number): digest for number, digest in cursor.fetchall()}


def _with_reason(details: dict[str, Any], name: str, pseudonym: str) -> dict[str, Any]:
    """Return details of an action or an event with the name replaced in what a person wrote there."""
    reason = details.get("reason")
    return details | {"reason": _replaced(reason, name, pseudonym)} if isinstance(reason, str) else details


def _replaced(text: str, name: str, pseudonym: str) -> str:
    """Replace the name where it stands alone: `anna` is not meant by `anna-123` or `x@anna.org`.

    A sign of user names ends the name only where no letter or digit follows, as after a sentence.
    """
    alone = rf"(?<!\w)(?<!\w[.@+-]){re.escape(name)}(?![.@+-]*\w)"
    return re.sub(alone, pseudonym, text, flags=re.IGNORECASE)
