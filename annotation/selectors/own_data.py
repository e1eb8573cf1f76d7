"""Everything that is stored about one person, for that person."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q, QuerySet

from annotation.models import Acknowledgement, Action, Assignment, Generation, Review, User
from annotation.models.actions import KINDS_ABOUT_PEOPLE

BATCH = 200  # rows in memory at a time


def own_data(user: User) -> Iterator[str]:
    """Yield a JSON object in parts: what others see of images, their makers, stays hidden as in the pages."""
    yield '{"account": '
    yield _json({name: getattr(user, name) for name in ACCOUNT})
    for section, rows in _sections(user):
        yield f', "{section}": ['
        for number, row in enumerate(rows):
            yield ("," if number else "") + _json(row)
        yield "]"
    yield "}"


ACCOUNT = ("username", "first_name", "last_name", "email", "date_joined", "last_login", "is_active")


def _sections(user: User) -> Iterator[tuple[str, Iterable[Mapping[str, object]]]]:
    yield "roles", user.memberships.values("project__slug", "role", "joined_at")
    yield "tokens", user.api_tokens.values("name", "hint", "created_at", "expires_at", "last_used_at")
    yield "sessions", user.sessions.values("agent", "address", "began_at", "seen_at")
    read = Acknowledgement.objects.filter(user=user)
    yield "guidelines_read", read.values("guideline__project__slug", "guideline__version", "created_at")
    yield "qualifications", user.qualifications.values("project__slug", "outcome", "reason", "decided_at")
    yield "pauses", user.pauses.values("project__slug", "reason", "paused_at", "lifted_at")
    reviews = Review.objects.filter(inspector=user).order_by("pk")
    yield "reviews_made", _values(reviews, "assignment", "verdict", "reason", "created_at")
    about = Q(kind__in=KINDS_ABOUT_PEOPLE, subject=user.username)
    logged = Action.objects.filter(Q(actor=user) | about).order_by("pk")
    yield "log", _values(logged, "at", "kind", "project__slug", "subject", "details")
    yield "answers", _answers(user)


def _answers(user: User) -> Iterator[dict[str, Any]]:
    answers = Assignment.objects.filter(annotator=user).select_related("project", "prompt", "label", "skip")
    prefetched = answers.prefetch_related("ratings", "ranking__placements", "revisions").order_by("pk")
    for answer in _in_batches(prefetched):
        tokens = _tokens(answer)
        label, skip = getattr(answer, "label", None), getattr(answer, "skip", None)
        ranking = getattr(answer, "ranking", None)
        yield {
            "project": answer.project.slug,
            "task": answer.token,
            "prompt": answer.prompt.text,
            "begun_at": answer.claimed_at,
            "submitted_at": answer.submitted_at,
            "revised_at": answer.revised_at,
            "images_shown": [tokens.get(pk) for pk in answer.order],
            "label": label and {name: getattr(label, name) for name in LABEL},
            "ratings": {
                tokens.get(rating.generation_id, ""): rating.points | {"problems": rating.problems}
                for rating in answer.ratings.all()
            },
            "slots": {
                tokens.get(placement.generation_id, ""): placement.slot
                for placement in (ranking.placements.all() if ranking else ())
            },
            "acceptable_slots": ranking and ranking.acceptable_slots,
            "skipped": skip and {"reason": skip.reason, "note": skip.note},
            "draft": answer.draft,
            "earlier_versions": [
                {"said": _by_token(revision.said, tokens), "replaced_at": revision.replaced_at}
                for revision in answer.revisions.all()
            ],
        }


def _values(rows: QuerySet[Any], *names: str) -> Iterator[dict[str, Any]]:
    """Yield these fields of the rows."""
    for values in _in_batches(rows.values("pk", *names)):
        del values["pk"]
        yield values


def _in_batches(rows: QuerySet[Any, Any]) -> Iterator[Any]:
    """Yield rows, or their values, by their ids. Each batch is a statement of its own: no client that reads
    slowly holds a transaction open.
    """
    batch = list(rows[:BATCH])
    while batch:
        newest = batch[-1]
        last = newest["pk"] if isinstance(newest, dict) else newest.pk
        yield from batch
        batch = list(rows.filter(pk__gt=last)[:BATCH])


LABEL = ("category", "intent_unclear", "issues")


def _tokens(answer: Assignment) -> dict[int, str]:
    """Return generation id -> the token under which its image is on pages, "" where it has no file."""
    rows = Generation.objects.filter(prompt=answer.prompt_id).values_list("pk", "image__token")
    return {pk: str(token or "") for pk, token in rows}


def _by_token(said: dict[str, Any], tokens: dict[int, str]) -> dict[str, Any]:
    """Return an earlier version, `Revision.said`, with images named as everywhere here."""
    return said | {
        part: {tokens.get(int(pk), ""): value for pk, value in (said.get(part) or {}).items()}
        for part in ("ratings", "slots")
    }


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
