"""Training from rows to rows: what a run leaves, and that one that is killed ends as one that was not."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils.timezone import now
from safetensors.torch import load_file

from annotation.models import Action, Generation
from rewardmodel.learning import load
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingPoint, TrainingRun
from rewardmodel.runs import states, supervision
from rewardmodel.runs.supervision import supervise
from rewardmodel.selectors import NothingRegistered, curves
from rewardmodel.services import training
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.evaluations import measure
from rewardmodel.services.splits import dataset_splits
from rewardmodel.services.training import NotTrainable, queue_training
from rewardmodel.tasks import supervise_run
from tests.rewardmodel.conftest import QUICK

pytestmark = pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own
State = TrainingRun.State
# A run tells its step once a second, in which it takes about 80 steps.
LONG = {**QUICK, "epochs": 36, "learning_rate": 1e-4, "checkpoint_every": 3}
ENDLESS = {**LONG, "epochs": 4000}
OWN_QUEUE = "gpu-of-a-test"  # a worker that other tests share must not take these runs
FIGURES = ("loss", "accuracy", "validation_loss", "validation_accuracy")


def measured(run):
    drawn = curves(run)
    return {name: drawn[name] for name in FIGURES}


def weights(run):
    return load_file(run.folder / "best" / "model.safetensors")


def equal(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def wait_until(true, seconds=150):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def steps_recorded(run):
    return list(TrainingPoint.objects.filter(run=run).order_by("step").values_list("step", flat=True))


def step_of(run):
    return TrainingRun.objects.values_list("step", flat=True).get(pk=run.pk)


@contextmanager
def supervised(run, should_stop=lambda: False):
    """A worker supervises the run, in a thread, while the test does something to it."""

    def work():
        try:
            supervise(TrainingRun.objects.get(pk=run.pk), should_stop=should_stop)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=240)
    assert not thread.is_alive()
    run.refresh_from_db()


def the_process_at_work():
    """The one that does the run's work."""
    mine = [one for one in psutil.process_iter(["ppid", "cmdline"]) if one.info["ppid"] == os.getpid()]
    [process] = [one for one in mine if "train_reward_model" in (one.info["cmdline"] or ())]
    return process


def test_a_run_leaves_a_checkpoint_its_curves_and_scored_images(project, encoder, rank, capsys):
    rank(16)
    call_command("train_reward_model", project.slug, set=[f"{name}={value}" for name, value in QUICK.items()])
    run = TrainingRun.objects.get()
    assert (run.state, run.step, run.steps, run.initial) == (State.FINISHED, 12, 12, encoder)
    assert run.peak_memory > 2**20
    assert [step for step, _ in measured(run)["loss"]] == list(range(1, 13))
    checkpoint = run.checkpoint
    assert checkpoint.metrics["pairs"] == 3
    assert checkpoint.metrics["dataset"] == run.dataset.hash
    [rival] = checkpoint.metrics["beside"]
    assert rival["name"] == "encoder"
    assert rival["difference"] == pytest.approx(checkpoint.accuracy - rival["accuracy"])
    assert checkpoint.promoted == (checkpoint.accuracy > rival["accuracy"])
    assert checkpoint.decision["probability"] == rival["probability"]
    reference = json.loads((run.folder / "best" / "config.json").read_text())["reference"]
    images = run.dataset.counts["validation"]["images"]
    assert (len(reference["quantiles"]), reference["images"]) == (101, images)
    assert checkpoint.metrics["base"] is None  # no image says who made it
    scored = Generation.objects.filter(scored_by=checkpoint.name, score__isnull=False).count()
    assert scored == (48 if checkpoint.promoted else 0)
    assert f"{checkpoint}: {100 * checkpoint.accuracy:.1f} %" in capsys.readouterr().out
    assert (run.folder / "best").is_dir()
    assert not (run.folder / "state.pt").exists()


def test_the_bases_images_that_it_did_not_learn_from_are_what_others_are_compared_with(
    project, encoder, rank, media
):
    rank(12)
    Generation.objects.update(generator="shipped")
    rank(4)
    Generation.objects.filter(generator="").update(generator="tuned")
    call_command("train_reward_model", project.slug, set=[f"{name}={value}" for name, value in QUICK.items()])
    run = TrainingRun.objects.get()
    splits, model = dataset_splits(run.dataset), load(run.folder / "best", "cpu")
    rewards = [
        model.score(image.prompt.text, media / image.image.file.name)
        for image in Generation.objects.filter(generator="shipped").select_related("prompt", "image")
        if splits.of(image.prompt.text) != "train"
    ]
    base = run.checkpoint.metrics["base"]
    assert (base["generator"], base["images"]) == ("shipped", len(rewards))
    assert base["reward"] == pytest.approx(statistics.median(rewards), abs=1e-4)
    assert run.checkpoint.base_reward == base["reward"]


def test_a_model_is_compared_with_one_that_was_promoted_while_it_was_measured(
    project, encoder, rank, monkeypatch
):
    rank(16)
    measured_first = []

    def measure_slowly(run, **inputs):
        measured = measure(run, **inputs)
        if not measured_first:
            other = RewardCheckpoint.objects.create(
                project=project, name="other", folder=encoder.folder, metrics={}
            )
            promote(other, now=now())
        measured_first.append([rival["name"] for rival in measured.metrics["beside"]])
        return measured

    monkeypatch.setattr(training, "measure", measure_slowly)
    call_command("train_reward_model", project.slug, set=[f"{name}={value}" for name, value in QUICK.items()])
    assert measured_first == [["encoder"], ["encoder", "other"]]
    run = TrainingRun.objects.get()
    assert (run.state, run.crashes) == (State.FINISHED, 0)
    assert run.checkpoint.promoted == (
        run.checkpoint.accuracy > run.checkpoint.metrics["beside"][1]["accuracy"]
    )


@pytest.mark.parametrize(
    ("pairs", "split_otherwise", "decisions"), [(1, False, 1), (3, False, 0), (1, True, 0)]
)
def test_what_waits_is_decided_about_on_more_pairs_that_no_model_may_have_learned_from(
    project, encoder, rank, pairs, split_otherwise, decisions
):
    rank(16)
    promote(encoder, now=now())
    dataset = freeze_dataset(project=project)
    learned_from = DatasetVersion.objects.get(pk=dataset.pk)
    if split_otherwise:
        learned_from.pk, learned_from.hash = None, "0" * 64
        learned_from.shares = {"train": 0.5, "validation": 0.25, "test": 0.25}
        learned_from.save()
    earlier = queue_training(project=project, dataset=dataset, config=QUICK)
    TrainingRun.objects.filter(pk=earlier.pk).update(
        dataset=learned_from, state=State.FINISHED, finished_at=now()
    )
    waiting = RewardCheckpoint.objects.create(
        **{"project": project, "name": "waiting", "folder": encoder.folder, "run": earlier, "metrics": {}},
        **{"verdict": RewardCheckpoint.Verdict.WAITING, "decision": {"pairs": pairs}},
    )
    shutil.copytree(encoder.location, waiting.location)
    settings = [f"{name}={value}" for name, value in QUICK.items()]
    call_command("train_reward_model", project.slug, dataset=dataset.hash, set=[*settings, "train_share=0.5"])
    waiting.refresh_from_db()
    assert waiting.decision["pairs"] == (3 if decisions else pairs)
    assert Action.objects.filter(kind="checkpoint.not_better").count() == decisions


def test_a_run_that_was_interrupted_after_it_was_recorded_is_not_trained_again(project, encoder, rank):
    rank(16)
    call_command("train_reward_model", project.slug, set=[f"{name}={value}" for name, value in QUICK.items()])
    run = TrainingRun.objects.get()
    made = run.checkpoint.metrics
    shutil.rmtree(run.dataset.path)
    TrainingRun.objects.update(state=State.QUEUED, finished_at=None)
    call_command("train_reward_model", run=run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempt, run.checkpoint.metrics) == (State.FINISHED, 2, made)


def test_people_who_agree_are_learned_from_and_the_better_model_is_promoted(project, encoder, rank):
    rank(30)
    call_command(
        "train_reward_model",
        project.slug,
        set=["epochs=8", "learning_rate=0.003", "batch_pairs=6", "fix_rate=0.0"],
    )
    checkpoint = TrainingRun.objects.get().checkpoint
    assert checkpoint.accuracy > checkpoint.metrics["beside"][0]["accuracy"]
    assert checkpoint.promoted
    assert Generation.objects.filter(scored_by=checkpoint.name).count() == 90


def test_a_run_killed_in_the_middle_ends_with_the_numbers_of_one_that_was_not(
    processes, project, encoder, rank
):
    rank(16)
    undisturbed = queue_training(project=project, config=LONG)
    killed = queue_training(project=project, config=LONG)
    with supervised(undisturbed):
        pass
    assert undisturbed.state == State.FINISHED, undisturbed.error

    with supervised(killed):
        wait_until(lambda: step_of(killed) >= 5)
        the_process_at_work().kill()
    assert (killed.state, killed.crashes) == (State.QUEUED, 1)
    assert "SIGKILL" in killed.error
    assert 5 <= killed.step < killed.steps
    TrainingRun.objects.filter(pk=killed.pk).update(not_before=None)
    with supervised(killed):
        pass

    assert (killed.state, killed.attempt, killed.error) == (State.FINISHED, 2, "")
    assert measured(killed) == measured(undisturbed)
    assert equal(weights(killed), weights(undisturbed))
    figures = ("accuracy", "interval", "pairs", "prompts")
    assert [killed.checkpoint.metrics[f] for f in figures] == [
        undisturbed.checkpoint.metrics[f] for f in figures
    ]


@pytest.mark.parametrize("victim", ["torchrun", "rank 1"])
def test_one_of_several_processes_that_dies_is_a_crash_and_takes_all_with_it(
    processes, project, encoder, rank, settings, victim
):
    settings.TRAINING_PROCESSES = 2
    rank(16)
    run = queue_training(project=project, config=ENDLESS)
    with supervised(run):
        wait_until(lambda: step_of(run) >= 2)
        below = psutil.Process().children(recursive=True)
        at_work = {called(one): one for one in below if "train_reward_model" in one.cmdline()}
        at_work[victim].kill()
    assert (run.state, run.crashes) == (State.QUEUED, 1), run.error
    assert "The process ended with" in run.error
    _, left = psutil.wait_procs(at_work.values(), timeout=10)
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]


def called(process):
    rank = process.environ().get("RANK")
    return "torchrun" if rank is None else f"rank {rank}"


def test_a_worker_that_closes_gives_its_run_back_with_a_checkpoint(processes, project, encoder, rank):
    rank(16)
    run = queue_training(project=project, config=ENDLESS)
    closing = threading.Event()
    with supervised(run, should_stop=closing.is_set):
        wait_until(lambda: step_of(run) >= 5)
        closing.set()
    assert (run.state, run.crashes) == (State.QUEUED, 0)
    assert (run.folder / "state.pt").exists()
    assert 5 <= run.step < run.steps


def test_a_cancelled_run_stops_soon_and_stays_stopped(processes, project, encoder, rank):
    rank(16)
    run = queue_training(project=project, config=ENDLESS)
    with supervised(run):
        wait_until(lambda: step_of(run) >= 5)
        states.cancel(TrainingRun.objects.get(pk=run.pk), now=now())
    assert run.state == State.CANCELLED
    assert run.step < run.steps
    assert not RewardCheckpoint.objects.filter(run=run).exists()
    supervise_run(run._meta.label, run.pk)
    assert TrainingRun.objects.get(pk=run.pk).attempt == 1


def test_a_run_that_crashes_to_the_last_fails_with_the_end_of_its_log(
    processes, project, encoder, rank, monkeypatch
):
    rank(16)
    monkeypatch.setattr(TrainingRun, "back_off", ())
    run = queue_training(project=project, config=QUICK)
    (run.dataset.path / "rankings.jsonl").unlink()
    with supervised(run):
        pass
    assert run.state == State.FAILED
    assert "exit status 1" in run.error
    assert "rankings.jsonl: cannot be read" in run.error


def test_a_run_without_its_start_fails_at_once_and_says_why(processes, project, encoder, rank):
    rank(16)
    encoder.folder = "/nowhere"
    encoder.save()
    run = queue_training(project=project, config=QUICK)
    with supervised(run):
        pass
    assert (run.state, run.attempt) == (State.FAILED, 1)
    assert run.error == "CheckpointError: /nowhere: no such checkpoint"


def test_a_run_with_an_unreadable_image_fails_at_once_and_says_what_to_do(processes, project, encoder, rank):
    rank(16)
    image = Generation.objects.get(source="r1-0.png").image.file
    image.storage.delete(image.name)
    run = queue_training(project=project, config={**QUICK, "unreadable_images": "refuse"})
    with supervised(run):
        pass
    assert (run.state, run.crashes) == (State.FAILED, 0)
    assert run.error.startswith("CannotTrain: 1 of 48 images cannot be read")
    assert run.error.endswith('set unreadable_images to "drop" to leave their rankings out')


def send(run):
    supervise_run.apply_async((run._meta.label, run.pk), queue=OWN_QUEUE)


@contextmanager
def a_worker():
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "config.celery", "worker", "--pool", "solo"]
    options = ["--queues", OWN_QUEUE, "--without-gossip", "--without-mingle"]
    process = subprocess.Popen([*command, *options], start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=90)


def test_the_death_of_the_worker_loses_nothing(processes, project, encoder, rank):
    rank(16)
    run = queue_training(project=project, config=LONG)
    send(run)
    with a_worker() as worker:
        wait_until(lambda: step_of(run) >= 5)
        worker.kill()
        worker.wait()
        wait_until(lambda: TrainingRun.objects.get(pk=run.pk).state == State.QUEUED)
    interrupted_at = step_of(run)
    send(run)
    with a_worker():
        wait_until(lambda: TrainingRun.objects.get(pk=run.pk).is_over)
    run.refresh_from_db()
    assert (run.state, run.attempt, run.crashes) == (State.FINISHED, 2, 0)
    assert interrupted_at < run.steps
    assert steps_recorded(run) == list(range(1, run.steps + 1))


def test_a_message_that_comes_twice_starts_one_process(processes, project, encoder, rank):
    rank(16)
    run = queue_training(project=project, config=QUICK)
    states.claim(run, now=now())
    supervise_run(run._meta.label, run.pk)
    assert TrainingRun.objects.get(pk=run.pk).attempt == 1
    assert not run.log.exists()


def test_a_run_by_hand_that_fails_says_why_in_one_line(project, encoder, rank):
    rank(16)
    dataset = freeze_dataset(project=project)
    (dataset.path / "rankings.jsonl").write_text("no JSON\n")
    with pytest.raises(CommandError, match=r"^DatasetError: .*rankings.jsonl, line 1"):
        call_command("train_reward_model", project.slug, dataset=dataset.hash[:10])
    run = TrainingRun.objects.get()
    assert run.state == State.FAILED
    assert run.error.startswith("DatasetError: ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"epocs": 3}, "epocs"), ({"learning_rate": -1}, "learning_rate must be above 0")],
)
def test_a_configuration_with_an_unknown_or_impossible_field_is_refused(
    project, encoder, rank, fields, message
):
    rank(16)
    with pytest.raises(NotTrainable, match=message):
        queue_training(project=project, config=fields)
    assert not TrainingRun.objects.exists()


def test_a_dataset_without_a_pair_in_each_split_is_refused(project, encoder, rank):
    rank(1)
    with pytest.raises(NotTrainable, match="no two images in different slots"):
        queue_training(project=project)
    assert not TrainingRun.objects.exists()


def test_training_needs_a_checkpoint_to_start_from(project, rank):
    rank(16)
    with pytest.raises(NothingRegistered):
        queue_training(project=project)


def test_the_supervisor_kills_a_process_that_does_not_stop(processes, project, encoder, rank, monkeypatch):
    rank(16)
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 1.0)
    run = queue_training(project=project, config=ENDLESS)
    with supervised(run):
        wait_until(lambda: step_of(run) >= 5)
        the_process_at_work().suspend()
        states.cancel(TrainingRun.objects.get(pk=run.pk), now=now())
    assert run.state == State.CANCELLED


def test_a_run_says_what_it_trains_and_counts_what_it_could_not_read(project, encoder, rank, ada, client):
    rank(16)
    image = Generation.objects.get(source="r1-0.png").image.file
    with image.storage.open(image.name, "wb") as file:
        file.write(b"")
    call_command("train_reward_model", project.slug, set=[f"{n}={value}" for n, value in QUICK.items()])
    run = TrainingRun.objects.get()
    assert run.state == State.FINISHED
    assert (run.report["images"], run.report["unreadable"]) == (48, 1)
    assert sum(run.report["dropped"].values()) == 1
    assert 0 < run.report["trainable"] < run.report["parameters"]
    client.force_login(ada)
    page = client.get(reverse(run.page, args=[project.slug, run.pk])).content.decode()
    assert "48, 1 unreadable" in page
    assert f"{image.name}: the file is empty" in page


def test_a_run_with_an_unreadable_image_is_refused_before_it_learns(project, encoder, rank):
    rank(16)
    image = Generation.objects.get(source="r1-0.png").image.file
    image.storage.delete(image.name)
    quick = {**QUICK, "most_unreadable": 0.02}
    with pytest.raises(CommandError, match=r"1 of 48 images cannot be read: .*no such image"):
        call_command("train_reward_model", project.slug, set=[f"{n}={value}" for n, value in quick.items()])
    assert TrainingRun.objects.get().step == 0
