"""What the process of a run is given."""

import subprocess
import sys

from rewardmodel.models import TrainingRun
from rewardmodel.runs.launching import environment

SAVE = "from transformers.utils import logging; list(logging.tqdm([1], desc='Writing model shards'))"


def errors_of(**options):
    command = [sys.executable, "-c", SAVE]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stderr


def test_the_libraries_draw_no_progress_bars_into_a_runs_log(monkeypatch):
    assert "Writing model shards" not in errors_of(env=environment(TrainingRun()))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")  # who asks for them gets them
    assert "Writing model shards" in errors_of(env=environment(TrainingRun()))
