"""Commands that are given what cannot be: one line, and a status that is not 0."""

import signal
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


def test_a_command_that_is_interrupted_by_its_keys_ends_without_a_traceback():
    waits = "import time; print('at work', flush=True); time.sleep(60)"
    command = [sys.executable, "manage.py", "shell", "--no-imports", "--command", waits]
    process = subprocess.Popen(
        command,
        cwd=settings.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Where the tests run in the background, the signal is ignored, and so it would be here.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == b"at work\n"
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=30), process.returncode) == ((b"", b""), 130)


@pytest.mark.parametrize("command", ["evaluate_reward_model", "select_prompts"])
def test_a_run_that_is_not_there_is_named_to_its_supervisor_too(command, db):
    for supervisor in ("", "somebody"):
        with pytest.raises(CommandError, match=r"no (\w+ )?run 99|no run 99"):
            call_command(command, run=99, supervisor=supervisor, attempt=1)
