"""Whether the log is what was written: its chain of seals, read from the first to the last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.db import connection, transaction

from annotation.models import Action

BATCH = 5000  # rows in memory at a time
SEALED = """
SELECT seal.number, seal.action_id, seal.salt, seal.words, seal.previous, seal.hash,
       CASE WHEN action.id IS NOT NULL THEN annotation_action_words(action) END,
       CASE WHEN action.id IS NOT NULL THEN annotation_action_content(action, seal.number, seal.words) END
FROM annotation_seal AS seal LEFT JOIN annotation_action AS action ON action.id = seal.action_id
WHERE seal.number > %s ORDER BY seal.number LIMIT %s
"""
UNSEALED = """
SELECT id FROM annotation_action AS action
WHERE NOT EXISTS (SELECT FROM annotation_seal WHERE action_id = action.id) ORDER BY id LIMIT 1
"""


@dataclass(frozen=True)
class _Sealed:
    """A seal, and its action as it is now: None where that is gone."""

    number: int
    action: int
    salt: str
    words: str
    previous: str
    hash: str
    words_now: str | None
    content_now: str | None


@dataclass(frozen=True)
class LogCheck:
    """What reading the chain showed.

    Args:
        entries: those that fit, from the first on.
        newest: "NUMBER:HASH" of the last of them; noted elsewhere, it shows later whether the end was cut.
        fault: the first entry that does not fit, and why; "" when all do.
    """

    entries: int
    newest: str
    fault: str = ""


@dataclass
class _Told:
    """What entries about erased persons say of the entries that were rewritten for them.

    Attributes:
        rewritten: number -> hash of what stands there since the last time.
        counted: how many entries those tell of that were written before they named them.
    """

    rewritten: dict[int, str] = field(default_factory=dict)
    counted: int = 0

    def read(self, sealed: _Sealed) -> None:
        if json.loads(sealed.content_now or "[]")[4] == Action.Kind.ERASED:
            details = json.loads(sealed.words_now or "[]")[1]
            if "rewritten" in details:
                self.rewritten |= {int(number): digest for number, digest in details["rewritten"].items()}
            else:
                self.counted += int(details["entries"])

    def fault(self, erased: Mapping[int, str]) -> str:
        """Say which entry was erased that none tells of; "" where all are. Args: erased: as `rewritten`."""
        for number, digest in erased.items():
            if self.rewritten.get(number, digest) != digest:
                return f"entry {number} was changed after it was erased"
        unnamed = [number for number in erased if number not in self.rewritten]
        if len(unnamed) > self.counted:
            told = len(self.rewritten) + self.counted
            names = ", ".join(map(str, unnamed[:5]))
            return f"{len(erased)} entries were erased, and the log tells of {told}: not of one of {names}"
        return ""


def check_log(*, expected: str = "") -> LogCheck:
    """Compare every entry of the log with its seal, and every seal with the one before.

    Within a transaction of the caller's, that says what the statements see; else all see one moment.

    Args: expected: a `newest` of earlier, which must still be there.
    """
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:  # the log may be shortened while it is read
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _check_log(expected)


def was_removed(seal: str) -> bool:
    """Return whether the seal, "NUMBER:HASH", is of an entry that was removed as too old, as the log says."""
    number, _ = _start()
    return int(seal.partition(":")[0]) < number


def _check_log(expected: str) -> LogCheck:
    number, previous = _start()
    entries, told = 0, _Told()
    erased: dict[int, str] = {}  # number -> hash of what stands there
    seen = not expected or expected == f"{number}:{previous}"
    for sealed in _sealed():
        if fault := _fault(sealed, number, previous):
            return LogCheck(entries, f"{number}:{previous}", fault)
        number, previous, entries = sealed.number, sealed.hash, entries + 1
        if not sealed.salt:
            erased[sealed.number] = _sha256(sealed.words_now or "")
        told.read(sealed)
        seen = seen or expected == f"{number}:{previous}"
    newest = f"{number}:{previous}"
    if fault := told.fault(erased):
        return LogCheck(entries, newest, fault)
    with connection.cursor() as cursor:
        cursor.execute(UNSEALED)
        if row := cursor.fetchone():
            return LogCheck(entries, newest, f"action {row[0]} has no seal: it was put in past the log")
    if not seen:
        return LogCheck(entries, newest, f"{expected} is not in the log: its end or its beginning was cut")
    return LogCheck(entries, newest)


def _start() -> tuple[int, str]:
    """Return number and hash of the last entry that was removed as too old, as the log itself says."""
    shortened = Action.objects.filter(kind=Action.Kind.SHORTENED).order_by("-pk").first()
    return (shortened.details["through"], shortened.details["hash"]) if shortened else (0, "")


def _sealed() -> Iterator[_Sealed]:
    number = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(SEALED, [number, BATCH])
            rows = cursor.fetchall()
            yield from (_Sealed(*row) for row in rows)
            if len(rows) < BATCH:
                return
            number = rows[-1][0]


def _fault(sealed: _Sealed, number: int, previous: str) -> str:
    """Say why a seal does not fit after the one of this number and hash; "" when it does."""
    entry = f"entry {sealed.number} (action {sealed.action})"
    if sealed.number != number + 1:
        return f"entry {number + 1} is gone: {entry} follows {number}"
    if sealed.previous != previous:
        return f"{entry} does not follow the entry before: one of them was replaced"
    if sealed.content_now is None or sealed.words_now is None:
        return f"{entry}: the action is gone"
    if sealed.salt and _sha256(sealed.salt + sealed.words_now) != sealed.words:
        return f"{entry}: whom or what it concerns was changed"
    if _sha256(previous + sealed.content_now) != sealed.hash:
        return f"{entry}: who did what, where or when was changed"
    return ""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
