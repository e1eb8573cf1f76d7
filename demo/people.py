"""The demo's people: their names, and the passwords generated for them at the first start."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from annotation.models import User
from annotation.saving import write_whole
from demo.world.annotators import Annotator

STAFF = {"admin": "admin", "rita": "inspector", "alice": "annotator", "bob": "annotator"}  # name -> role


@dataclass(frozen=True)
class Person:
    """A simulated annotator: an account, and a taste."""

    name: str
    password: str
    annotator: Annotator


def simulated_name(number: int) -> str:
    return f"simulated-{number:02}"


def ensure_person(*, name: str, credentials: Path, superuser: bool = False) -> User:
    """Return the named person, created with a random password if they do not exist.

    Args: credentials: JSON file of name -> password, readable by its owner alone; the password is added.
    """
    person = User.objects.filter(username=name).first()
    if person is not None:
        return person
    password = secrets.token_urlsafe(9)
    _save_password(name=name, password=password, credentials=credentials)
    if superuser:
        return User.objects.create_superuser(name, password=password)
    return User.objects.create_user(name, password=password)


def simulated_people(count: int, *, credentials: Path) -> list[Person]:
    """Return the first simulated annotators, each with a taste of their own.

    Raises: FileNotFoundError, KeyError when there are no accounts for so many.
    """
    passwords = read_passwords(credentials)
    names = [simulated_name(number) for number in range(1, count + 1)]
    return [Person(name, passwords[name], Annotator.drawn(seed)) for seed, name in enumerate(names)]


def read_passwords(credentials: Path) -> dict[str, str]:
    """Return name -> password. Raises FileNotFoundError before the first `seed_demo`."""
    passwords: dict[str, str] = json.loads(credentials.read_text())
    return passwords


def _save_password(*, name: str, password: str, credentials: Path) -> None:
    # Before the account: a password without its account is harmless, the reverse locks somebody out.
    passwords = read_passwords(credentials) if credentials.exists() else {}
    private = partial(os.open, mode=0o600)
    with write_whole(credentials) as unfinished, open(unfinished, "w", opener=private) as file:
        json.dump(passwords | {name: password}, file, indent=1)
