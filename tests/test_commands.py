"""Commands that are given what cannot be: one line, and a status that is not 0."""

import subprocess
import sys

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command


def test_arguments_that_are_no_text_are_refused_in_one_line():
    command = [sys.executable, "manage.py", "freeze_dataset", b"caf\xe9"]
    done = subprocess.run(command, cwd=settings.ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"manage.py: the arguments are not in UTF-8\n"


@pytest.mark.parametrize("command", ["evaluate_reward_model", "select_prompts"])
def test_a_run_that_is_not_there_is_named_to_its_supervisor_too(command, db):
    for supervisor in ("", "somebody"):
        with pytest.raises(CommandError, match=r"no (\w+ )?run 99|no run 99"):
            call_command(command, run=99, supervisor=supervisor, attempt=1)
