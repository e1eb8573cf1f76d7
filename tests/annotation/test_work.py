"""A worker that Slurm or Kubernetes starts ends by itself."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.workers import database_url


def test_a_worker_ends_once_it_was_idle_for_so_long(transactional_db, no_worker):
    command = [sys.executable, "manage.py", "work", "--queue", "gpu", "--until-idle", "1"]
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
    }
    done = subprocess.run(command, cwd=settings.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stderr


@pytest.mark.parametrize(
    ("queue", "seconds", "why"), [("gpu", "0", "1 second or more"), ("default", "300", "for the queue gpu")]
)
def test_a_worker_that_could_not_be_told_to_be_idle_is_refused(queue, seconds, why):
    with pytest.raises(CommandError, match=why):
        call_command("work", queue=queue, until_idle=float(seconds))
