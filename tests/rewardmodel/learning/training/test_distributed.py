"""Two processes that share a run: the numbers of one, one writer, and nobody left waiting."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.scoring import load_scorer
from rewardmodel.learning.training import Callbacks, train
from rewardmodel.learning.training.distributed import ProcessGroup
from tests.rewardmodel.learning.training.gradients_of_a_batch import gradients

SECONDS = 120
SETTINGS = {"learning_rate": 3e-3, "batch_pairs": 8, "epochs": 3, "fix_rate": 0.4, "micro_batch_images": 8}


@pytest.fixture(autouse=True)
def _one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def still(initial):
    """The initial checkpoint without dropout: each process draws its own."""
    config = json.loads((initial / "config.json").read_text())
    config["backbone"]["vision"]["drop_path"] = 0
    config["backbone"]["text"] |= {"dropout": 0, "attention_dropout": 0}
    config["backbone"]["head"]["dropout"] = [0, 0, 0]
    (initial / "config.json").write_text(json.dumps(config))
    return initial


def in_two(*arguments):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [*torchrun, *map(str, arguments)]


@pytest.fixture
def training(tmp_path, a_dataset):
    """The command that trains in two processes into a folder of that name."""
    dataset = a_dataset()

    def line(initial, name, *, program=("-m", "rewardmodel.learning.training"), **settings):
        fields = [f"--set={field}={json.dumps(value)}" for field, value in (SETTINGS | settings).items()]
        where = ["--dataset", dataset, "--initial", initial, "--to", tmp_path / name, "--device", "cpu"]
        return in_two(*program, *where, *fields)

    return line


@pytest.fixture
def a_script(tmp_path, monkeypatch):
    """Write a program that torchrun can start: it finds the packages as the tests do."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))

    def write(text):
        path = tmp_path / "script.py"
        path.write_text(text)
        return path

    return write


def run(line):
    return subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)


def steps_of(done):
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path, a_dataset, still):
    """Of a batch of one ranking, the second process gets none."""
    dataset = a_dataset()
    gradients(dataset, still, tmp_path / "one.pt")
    script = "tests.rewardmodel.learning.training.gradients_of_a_batch"
    done = run(in_two("-m", script, dataset, still, tmp_path / "two.pt"))
    assert done.returncode == 0, done.stderr
    ones, twos = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pt", "two.pt"))
    for one, two in zip(ones, twos, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-12)
        frozen = {name for name, gradient in one["gradients"].items() if gradient is None}
        assert frozen == {name for name, gradient in two["gradients"].items() if gradient is None} != set()
        known = sorted(one["gradients"].keys() - frozen)
        theirs, ours = (torch.cat([each["gradients"][n].flatten() for n in known]) for each in (one, two))
        assert (ours - theirs).norm() < 1e-12 * theirs.norm()


@pytest.mark.parametrize("option", [{}, {"lora_rank": 2, "ema": 0.8}], ids=["plain", "lora and ema"])
def test_two_processes_train_validate_and_normalise_as_one_does_and_the_first_one_reports(
    tmp_path, training, still, a_dataset, option
):
    """Raw rewards may differ by a constant, which no pair sees: rounding alone decides where that drifts."""
    one = []
    train(
        RewardConfig(**(SETTINGS | option)),
        dataset=a_dataset(),
        images=a_dataset(),
        initial=still,
        folder=tmp_path / "one",
        callbacks=Callbacks(on_step=lambda progress: one.append(dataclasses.asdict(progress))),
    )
    *two, _ = steps_of(run(training(still, "two", **option)))
    for name in ("step", "steps", "epoch", "learning_rate"):
        assert [step[name] for step in two] == [step[name] for step in one]
    for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
        known = [(a[name], b[name]) for a, b in zip(two, one, strict=True) if b[name] is not None]
        assert [a for a, _ in known] == pytest.approx([b for _, b in known], rel=2e-4), name
    images = sorted((a_dataset() / "images").glob("test-*"))
    ours, theirs = (
        load_scorer(tmp_path / name / "best").score("a red circle", images) for name in ("two", "one")
    )
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_two_processes_learn_aspects_as_one_does(tmp_path, training, still, a_dataset):
    dataset = a_dataset(rated=True)
    settings = {"aspects": ["alignment", "problems"], "epochs": 1}
    one = []
    train(
        RewardConfig(**(SETTINGS | settings)),
        dataset=dataset,
        images=dataset,
        initial=still,
        folder=tmp_path / "one",
        callbacks=Callbacks(on_step=lambda progress: one.append(progress.loss)),
    )
    *two, _ = steps_of(run(training(still, "two", **settings)))
    assert [step["loss"] for step in two] == pytest.approx(one, rel=2e-4)


def test_a_killed_run_of_two_processes_goes_on_with_the_numbers_of_one_never_killed(training, initial):
    """With dropout: each process takes up its own random numbers."""
    whole = steps_of(run(training(initial, "whole", checkpoint_every=2, epochs=12)))
    line = training(initial, "killed", checkpoint_every=2, epochs=12)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for _ in range(5):
        process.stdout.readline()
    process.kill()  # torchrun; its children see that and kill themselves
    process.communicate(timeout=SECONDS)  # until they have let go of its output
    rest = steps_of(run(line))
    for steps in (whole, rest):
        del steps[-1]["checkpoint"]
        for step in steps[:-1]:
            del step["images_per_second"]
    assert 5 <= rest[0]["step"] < whole[0]["steps"] - 2
    assert rest == whole[rest[0]["step"] - 1 :]


def test_a_signal_to_torchrun_saves_and_stops_every_process(tmp_path, training, initial):
    line = training(initial, "run", epochs=200)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert "the same command goes on from there" in told
    assert (tmp_path / "run" / "state.pt").exists()


STOPPED_EARLY = """
import sys
from pathlib import Path
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.training import Callbacks, inspection, train
inspection.CHUNK = 1
dataset, initial, folder = map(Path, sys.argv[1:])
places = dict(dataset=dataset, images=dataset, initial=initial, folder=folder, device="cpu")
looked = lambda checked, images: print(f"looked at {checked}", flush=True)
try:
    callbacks = Callbacks(on_step=print, on_checked=looked, should_stop=lambda: True)
    train(RewardConfig(), **places, callbacks=callbacks)
except Interrupted as interrupted:
    print(f"stopped {interrupted}", flush=True)
"""


def test_asked_to_stop_while_it_looks_at_images_every_process_stops(tmp_path, a_dataset, initial, a_script):
    done = run(in_two(a_script(STOPPED_EARLY), a_dataset(), initial, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"stopped after 2 of \d+ images", done.stdout)) == 2  # perhaps on one line
    assert re.findall(r"looked at \d+", done.stdout) == ["looked at 2"]  # one process reports


THREADS_LEFT = """
import sys
from pathlib import Path
from rewardmodel.learning.training.__main__ import main
main(sys.argv[1:])
names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
print(f"left: {names}", flush=True)
"""


def test_a_run_leaves_no_thread_of_its_group_behind(training, initial, a_script):
    """One that is left may abort the process as Python exits, after all was trained and saved."""
    done = run(training(initial, "run", program=[a_script(THREADS_LEFT)], epochs=1))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("left: ['") == 2  # perhaps on one line
    assert "gloo" not in done.stdout


def test_processes_share_the_look_at_images_and_all_know_what_one_found(
    tmp_path, training, initial, a_dataset
):
    """Of two images that stand one behind the other, each process looks at one."""
    broken = sorted((a_dataset() / "images").glob("train-3-*"))[:2]
    for image in broken:
        image.write_bytes(b"no image")
    steps_of(run(training(initial, "run", epochs=1)))
    found = json.loads((tmp_path / "run" / "images.json").read_text())
    assert found["unreadable"].keys() == {str(image) for image in broken}
    assert found["dropped"] == {"train": 1, "validation": 0, "test": 0}


def test_an_error_of_one_process_ends_all_and_is_named(training, initial, a_dataset):
    """The images of one ranking are unreadable: whoever has it fails, and the first process says why."""
    for image in (a_dataset() / "images").glob("train-3-*"):
        image.write_bytes(b"no image")
    began = time.monotonic()
    done = run(training(initial, "run", unreadable_images="refuse"))
    assert done.returncode != 0
    assert "UnreadableImage" in done.stderr
    assert "train-3-" in done.stderr
    assert time.monotonic() - began < 60


def test_each_ranking_lies_in_one_shard_and_shards_are_even_by_images():
    rankings = [
        Ranking(str(number), "a prompt", ("image",) * (2 + number % 3), (1, 2) * 2) for number in range(31)
    ]
    shards = [list(ProcessGroup(torch.device("cpu"), rank, 4).shard(rankings)) for rank in range(4)]
    assert sorted(int(one.id) for shard in shards for one in shard) == list(range(31))
    images = [sum(len(one.images) for one in shard) for shard in shards]
    assert max(images) - min(images) <= 4


LATE = """
import os, time
from datetime import timedelta
from rewardmodel.learning.training import distributed
distributed.TIMEOUT = timedelta(seconds=3)
if os.environ["RANK"] == "0":
    time.sleep(8)
with distributed.process_group("cpu") as group:
    print(f"met {group.sum(1.0)[0]:.0f}", flush=True)
"""


def test_the_others_wait_for_a_main_process_that_fetches_images_first(a_script):
    done = run(in_two(a_script(LATE)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("met 2") == 2


BUSY = """
import time
from datetime import timedelta
from rewardmodel.learning.training import distributed
distributed.TIMEOUT = timedelta(seconds=2)
with distributed.process_group("cpu") as group:
    with group.error_barrier(patient=True):
        if group.is_main_process:
            time.sleep(5)
    print(f"met {group.sum(1.0)[0]:.0f}", flush=True)
    with group.error_barrier(patient=True):
        if group.is_main_process:
            raise RuntimeError("no space left")
"""


def test_the_others_wait_for_what_a_main_process_does_alone_and_hear_of_its_error(a_script):
    done = run(in_two(a_script(BUSY)))
    assert done.stdout.count("met 2") == 2
    assert done.returncode != 0
    assert "PeerFailed: process 0: RuntimeError: no space left" in done.stderr
