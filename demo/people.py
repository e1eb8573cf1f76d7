"""The demo's people: their names, and the passwords made for them at the first start."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from annotation.models import User
from demo.world.annotators import Annotator

STAFF = {"admin": "admin", "rita": "inspector", "alice": "annotator", "bob": "annotator"}  # name -> role


@dataclass(frozen=True)
class Person:
    """A simulated annotator's account, and how they judge."""

    name: str
    password: str
    annotator: Annotator


def simulated_name(number: int) -> str:
    return f"simulated-{number:02}"


def ensure_person(*, name: str, credentials: Path, superuser: bool = False) -> User:
    """The named person, made with a random password if they do not exist yet.

    Args: credentials: JSON file of name -> password, readable by its owner alone; the new password is added.
    """
    person = User.objects.filter(username=name).first()
    if person is not None:
        return person
    password = secrets.token_urlsafe(9)
    _keep_password(name=name, password=password, credentials=credentials)
    if superuser:
        return User.objects.create_superuser(name, password=password)
    return User.objects.create_user(name, password=password)


def simulated_people(count: int, *, credentials: Path) -> list[Person]:
    """The first simulated annotators, each with a taste of their own.

    Raises: FileNotFoundError, KeyError when there are no accounts for so many.
    """
    passwords = read_passwords(credentials)
    names = [simulated_name(number) for number in range(1, count + 1)]
    return [Person(name, passwords[name], Annotator.drawn(seed)) for seed, name in enumerate(names)]


def read_passwords(credentials: Path) -> dict[str, str]:
    """Name -> password. Raises FileNotFoundError before the first `seed_demo`."""
    passwords: dict[str, str] = json.loads(credentials.read_text())
    return passwords


def _keep_password(*, name: str, password: str, credentials: Path) -> None:
    # Written before the account: a password without its account is harmless, the reverse locks somebody out.
    passwords = read_passwords(credentials) if credentials.exists() else {}
    whole = credentials.with_suffix(".new")
    with open(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(passwords | {name: password}, file, indent=1)
    whole.replace(credentials)
