"""check_files"""

from __future__ import annotations

import math
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now

from annotation.models import FileFault
from annotation.services.recovery.looks import look_at_files


class Command(BaseCommand):
    help = "Read every stored file now, and name those that are gone or changed; beat does it once a week."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            read = look_at_files(now=now(), seconds=math.inf, afresh=True)
        except (BotoCoreError, ClientError) as error:
            raise CommandError(f"the storage does not answer: {error}") from None
        for fault in FileFault.objects.all():
            self.stdout.write(self.style.ERROR(str(fault)))
        faults = FileFault.objects.count()
        if faults:
            raise CommandError(f"{faults} stored files are not what was stored")
        self.stdout.write(f"{read:,} stored files are what was stored")
