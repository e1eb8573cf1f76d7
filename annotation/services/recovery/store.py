"""The folder that backups lie in: files under the hash of their bytes, and a point for each backup.

FOLDER/laurel-backup       marks the folder as one of backups
FOLDER/lock                held by the process that writes
FOLDER/objects/ab/ab12...  a file's bytes, under their sha256: what several points have lies here once
FOLDER/copied.jsonl        what was copied under which hash, so that nothing is read twice
FOLDER/unfinished/         the point that is being written
FOLDER/points/TIME/        about.json, files.jsonl (a line a file), database.dump
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = 1  # of the folder; a later one is refused
MARK, LOCK, COPIED, UNFINISHED = "laurel-backup", "lock", "copied.jsonl", "unfinished"
ABOUT, FILES, DATABASE = "about.json", "files.jsonl", "database.dump"
CHUNK = 1 << 20  # bytes in memory at a time


class BackupFailed(Exception):
    """A backup cannot be made or restored; the message names the file or program and what would help."""


class BackupDamaged(BackupFailed):
    """A file of the backup is missing, or its bytes are not those that were written."""


@dataclass(frozen=True)
class Entry:
    """One file of a point. `name` is images/... of the storage, or var/... below LAUREL_VAR."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class About:
    """What a point holds and needs.

    Args:
        taken_at: ISO time of the snapshot: what was committed earlier is in the backup.
        server: major version of the Postgres that was dumped. dumped_by: that of the pg_dump.
        migrations: "app.name" of all that were applied.
        var: LAUREL_VAR of the machine.
        keys: fingerprints of its keys, by the name of their setting.
        outside: paths that the database names and that are not in the backup.
        missing: names of files that the database names and that were gone.
        changed: names of images whose bytes were no longer those of their hash.
        sha256: of the point's other files, by name.
    """

    taken_at: str
    server: int
    dumped_by: int
    migrations: list[str]
    var: str
    keys: dict[str, str]
    files: int
    bytes: int
    outside: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Point:
    """One backup in its folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def entries(self) -> Iterator[Entry]:
        """Raises: BackupDamaged."""
        try:
            with (self.folder / FILES).open(encoding="utf-8") as lines:
                for line in lines:
                    yield Entry(**json.loads(line))
        except (OSError, ValueError, TypeError) as error:
            raise BackupDamaged(f"{self.folder / FILES}: cannot be read ({error})") from None

    def about(self) -> About:
        """Raises: BackupDamaged; BackupFailed where a newer Laurel wrote it."""
        file = self.folder / ABOUT
        try:
            stored = json.loads(file.read_bytes())
            content: dict[str, Any] = stored["about"]
            if content["format"] > FORMAT:
                raise BackupFailed(f"{file}: a newer Laurel wrote this backup: restore it with that one")
            if stored["sha256"] != _digest_of(content):
                raise BackupDamaged(f"{file}: is damaged: its content does not have the hash it gives")
            return About(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackupDamaged(f"{file}: cannot be read ({error})") from None


class BackupFolder:
    """The folder of all points. `hold` it to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.unfinished = self.folder / UNFINISHED

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Create the folder, readable by its owner alone, and keep other writers out while the block runs.

        Raises: BackupFailed where another process writes, or something else lies in the folder.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (self.folder / MARK).exists():
                if any(self.folder.iterdir()):
                    raise BackupFailed(f"{self.folder}: holds something else: name a folder that is empty")
                (self.folder / MARK).write_text("Backups of Laurel: manage.py restore reads them.\n")
            with (self.folder / LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield
        except BlockingIOError:
            raise BackupFailed(f"{self.folder}: another backup is being written there") from None

    def points(self) -> list[Point]:
        """Return all finished backups, oldest first. Raises: BackupFailed where the folder has none."""
        if not (self.folder / MARK).exists():
            raise BackupFailed(f"{self.folder}: is no folder of backups")
        return [Point(path) for path in sorted((self.folder / "points").glob("*"))]

    def point(self, name: str = "") -> Point:
        """Return the backup of that name, the newest without one. Raises: BackupFailed."""
        points = self.points()
        chosen = [point for point in points if not name or point.name == name][-1:]
        if not chosen:
            there = ", ".join(point.name for point in points) or "none: no backup was finished"
            raise BackupFailed(f"{self.folder}: has no backup {name}".rstrip() + f"; there are {there}")
        return chosen[0]

    def object(self, sha256: str) -> Path:
        return self.folder / "objects" / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        try:
            return self.object(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def add(self, source: BinaryIO) -> tuple[str, int]:
        """Copy a file's bytes, a chunk at a time. Returns: their sha256, and how many."""
        objects = self.folder / "objects"
        objects.mkdir(exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=objects, prefix=".new-")
        try:
            digest, size = hashlib.sha256(), 0
            with open(descriptor, "wb") as copy:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
                    size += len(chunk)
                copy.flush()
                os.fsync(descriptor)  # otherwise a power failure may leave an empty file
            target = self.object(digest.hexdigest())
            target.parent.mkdir(exist_ok=True)
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return digest.hexdigest(), size

    def start(self) -> None:
        """Begin a point. What an interrupted one copied stays; its dump is older than the one to come."""
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir(mode=0o700)
        for left in (self.folder / "objects").glob(".new-*"):
            left.unlink()

    def finish(self, about: About) -> Point:
        """Make the unfinished point one of those to restore from, whole or not at all."""
        content = asdict(about)
        stored = {"about": content, "sha256": _digest_of(content)}
        (self.unfinished / ABOUT).write_text(
            json.dumps(stored, ensure_ascii=False, indent=1), encoding="utf-8"
        )
        for path in (*self.unfinished.iterdir(), self.unfinished, self.folder):
            _sync(path)
        target = self.folder / "points" / about.taken_at.replace(":", "").replace("+0000", "Z")
        target.parent.mkdir(exist_ok=True)
        os.replace(self.unfinished, target)
        _sync(target.parent)
        return Point(target)

    def forget(self, *, but: int) -> list[Point]:
        """Remove all points but the newest, and the bytes that only they named. Returns: those removed."""
        points = self.points()
        removed = points[: max(0, len(points) - but)]
        if not removed:
            return []
        named = {bytes.fromhex(entry.sha256) for point in points[-but:] for entry in point.entries()}
        for point in removed:
            shutil.rmtree(point.folder)
        for path in (self.folder / "objects").glob("*/*"):
            if bytes.fromhex(path.name) not in named:
                path.unlink()
        return removed


class Copied:
    """What earlier backups copied, by name, size and time of change: it is not read again."""

    def __init__(self, folder: BackupFolder) -> None:
        self.file, self.folder = folder.folder / COPIED, folder
        self._known: dict[str, tuple[int, int, str]] = {}
        if self.file.exists():
            for line in self.file.read_text(encoding="utf-8").splitlines():
                try:
                    name, size, changed, sha256 = json.loads(line)
                except ValueError:
                    continue  # the last line of a process that was killed
                self._known[name] = (size, changed, sha256)

    def find(self, name: str, status: os.stat_result) -> Entry | None:
        size, changed, sha256 = self._known.get(name, (-1, -1, ""))
        if (size, changed) != (status.st_size, status.st_mtime_ns) or not self.folder.has(sha256, size):
            return None
        return Entry(name, sha256, size)

    def record(self, entry: Entry, status: os.stat_result) -> None:
        self._known[entry.name] = (status.st_size, status.st_mtime_ns, entry.sha256)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps([entry.name, *self._known[entry.name]]) + "\n")


def digest(file: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _digest_of(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
