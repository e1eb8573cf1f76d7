"""Secret keys: from the environment, else from files in LAUREL_VAR that are made at the first start."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

SECRET, EARLIER = "secret_key", "secret_key_fallbacks"
# Keys of their own: what they sign outlives SECRET_KEY. Each with the salt by which it comes of SECRET_KEY
# where it is not set.
SALTS = {"pseudonym_key": "annotation.exports", "webhook_key": "annotation.webhook"}


def secret_key(var: Path, value: str) -> str:
    """Return SECRET_KEY, else the one in the file, which is made where there is none."""
    if value:
        return value
    saved = var / SECRET
    if not saved.exists():
        with tempfile.NamedTemporaryFile("w", dir=var) as file:  # only its owner reads it
            file.write(new_secret())
            file.flush()
            os.fsync(file.fileno())
            with suppress(FileExistsError):  # another process that starts was first
                os.link(file.name, saved)  # whole at once
    return saved.read_text()


def earlier_keys(var: Path, values: list[str]) -> list[str]:
    """Return SECRET_KEY_FALLBACKS, else those in the file: what they signed still holds."""
    saved = var / EARLIER
    return values or (saved.read_text().splitlines() if saved.exists() else [])


def own_key(name: str, *, var: Path, value: str, secret: str) -> bytes:
    """Return a key of its own: from the environment, else the file, else of SECRET_KEY.

    Args: name: of SALTS; value: of its variable, 64 hexadecimal digits, or "".
    Raises: ImproperlyConfigured.
    """
    saved = var / name
    text = value or (saved.read_text().strip() if saved.exists() else "")
    if not text:
        return derived_key(name, secret)
    source = name.upper() if value else saved
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != hashlib.sha256().digest_size:
        raise ImproperlyConfigured(f"{source} is no key of 64 hexadecimal digits")
    return key


def derived_key(name: str, secret: str) -> bytes:
    """Return the key that comes of SECRET_KEY, as `django.utils.crypto.salted_hmac` derives it."""
    return hashlib.sha256((SALTS[name] + secret).encode()).digest()


def save(file: Path, text: str) -> None:
    """Write a key that only its owner reads; whoever starts meanwhile finds the one before, or this one."""
    unfinished = file.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)


def new_secret() -> str:
    return secrets.token_urlsafe(50)


def fingerprints(settings: Any) -> dict[str, str]:
    """Return what tells each key from another one, and nothing else of it."""
    keys = {name: getattr(settings, name.upper()) for name in (SECRET, *SALTS)}
    salted = {
        name: b"fingerprint " + (key.encode() if isinstance(key, str) else key) for name, key in keys.items()
    }
    return {name.upper(): hashlib.sha256(content).hexdigest()[:16] for name, content in salted.items()}
