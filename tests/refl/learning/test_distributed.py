"""Two processes that share a tuning: the numbers of one, and one writer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refl.learning.families.loading import load_family
from tests.refl.learning.tune_in_processes import tune_here


def test_two_processes_tune_as_one_does_and_the_first_one_reports(
    tmp_path, pipeline_folder, pairs_folder, monkeypatch
):
    """A batch of three: one process has two samples, the other one."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    one = [json.loads(line) for line in tune_here(pipeline_folder, pairs_folder, tmp_path / "one")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = ["-m", "tests.refl.learning.tune_in_processes"]
    done = subprocess.run(
        [*torchrun, *program, pipeline_folder, pairs_folder, tmp_path / "two"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = [json.loads(line) for line in done.stdout.splitlines()]
    assert [step for step, _ in two] == [step for step, _ in one] == [1, 2, 3]
    for (_, ours), (_, theirs) in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3)
    weights = [
        load_family(tmp_path / name / "pipeline", "cpu").denoiser.state_dict().values()
        for name in ("one", "two")
    ]
    moved = [(a - b).abs().max().item() for a, b in zip(*weights, strict=True)]
    assert max(moved) < 3e-4  # of 3 steps of 1e-3: where a gradient is nearly 0, Adam steps by its sign
