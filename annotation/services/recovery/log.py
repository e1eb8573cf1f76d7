"""The log's newest seal, noted outside the database, where it shows whether the log's end was cut."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from annotation.saving import write_whole
from annotation.selectors.log import LogCheck, check_log, was_removed

NEWEST_SEAL = "log_newest_seal"


def check_noted_log() -> LogCheck:
    """Check that the log is what was written, and still has the seal that was noted; then note its newest.

    A note stays as it is after a fault. Where old entries are removed, a seal among them is not looked for.
    """
    note = Path(settings.VAR) / NEWEST_SEAL
    noted = note.read_text().strip() if note.exists() else ""
    if noted and settings.LOG_DAYS and was_removed(noted):
        noted = ""
    check = check_log(expected=noted)
    if not check.fault:
        with write_whole(note) as unfinished:
            unfinished.write_text(f"{check.newest}\n")
    return check
