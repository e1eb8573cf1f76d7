"""`manage.py store_files`: what this host has of datasets, runs and exports, for every host."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.models import Export, Job, Upload
from annotation.stored_files import is_elsewhere, store_all
from rewardmodel.runs.states import run_models


class Command(BaseCommand):
    help = "Once S3_BUCKET is set, store the datasets, runs, exports and uploads that LAUREL_VAR has already."

    def handle(self, *args: Any, **options: Any) -> None:
        if not is_elsewhere():
            raise CommandError("S3_BUCKET is not set: files stay where they are")
        models: list[type[Job]] = [*run_models(), Export, Upload]
        for model in models:
            job = model._default_manager.filter(state=model.State.RUNNING).first()
            if job is not None:
                raise CommandError(
                    f"{job} is at work: wait for its end, or stop the workers and let it queue"
                )
        stored = store_all()
        self.stdout.write(
            f"{stored:,} folders and files are in the storage; LAUREL_VAR needs no sharing for them"
        )
