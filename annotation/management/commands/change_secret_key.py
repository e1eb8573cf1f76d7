"""`manage.py change_secret_key`: a new SECRET_KEY; pseudonyms and webhook secrets stay as they are."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from annotation import keys

RESTART = "Restart every process of Laurel now."


class Command(BaseCommand):
    help = (
        "Make a new SECRET_KEY. People stay signed in, because the one before still holds; pseudonyms and "
        "webhook secrets get keys of their own, and stay as they are. With --forget, the keys before hold no "
        "more: who signed in under one signs in again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--forget", action="store_true", help="make no key, and forget those before")

    def handle(self, *args: Any, **options: Any) -> None:
        var = Path(settings.VAR)
        is_in_environment = "SECRET_KEY" in os.environ
        if options["forget"]:
            (var / keys.EARLIER).unlink(missing_ok=True)
            left = "Take SECRET_KEY_FALLBACKS out of the environment. " if is_in_environment else ""
            self.stdout.write(f"Earlier keys are forgotten. {left}{RESTART}")
            return
        new = keys.new_secret()
        own = {"pseudonym_key": settings.PSEUDONYM_KEY.hex(), "webhook_key": settings.WEBHOOK_KEY.hex()}
        earlier = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        if is_in_environment:
            lines = {name.upper(): key for name, key in own.items()}
            lines |= {"SECRET_KEY": new, "SECRET_KEY_FALLBACKS": ",".join(earlier)}
            self.stdout.write("\n".join(f"{name}={value}" for name, value in lines.items()))
            self.stderr.write(
                "Nothing is changed yet: set these in the environment of every host. " + RESTART
            )
            return
        for name, text in (*own.items(), (keys.EARLIER, "\n".join(earlier)), (keys.SECRET, new)):
            keys.save(var / name, text)
        self.stdout.write(f"The new key is in {var / keys.SECRET}. {RESTART}")
