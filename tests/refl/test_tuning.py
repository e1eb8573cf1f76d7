"""Tuning runs, for real: in processes of their own, interrupted, resumed, cancelled, judged."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from time import monotonic, sleep

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils.timezone import now
from PIL import Image

from annotation import jobs
from refl.drawing import draw
from refl.judged_images import judged_file, read_judged
from refl.models import Generator, TuningRun
from refl.seeds import seeds_of
from refl.selectors.prompts import held_out_prompts
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.models import RewardCheckpoint, TrainingRun
from rewardmodel.runs import states
from rewardmodel.runs.launching import command_line
from rewardmodel.selectors import NothingPromoted
from rewardmodel.services.checkpoints import register_checkpoint
from tests.refl.conftest import QUICK, save_reward_model
from tests.workers import database_url

# The heart of a run beats in a thread of its own, which sees only what was committed.
for_real = pytest.mark.django_db(transaction=True)
SLOW = {**QUICK, "updates": 20, "checkpoint_every": 4}
PATIENCE = 300  # seconds; a busy machine takes a minute to load torch


def test_a_tuning_stays_on_its_host_where_trainings_span_several(settings):
    settings.TRAINING_PROCESSES, settings.TRAINING_TORCHRUN = 2, "--nnodes 2 --node-rank 0"
    of_training, of_tuning = (
        command_line(run, grace_seconds=5) for run in (TrainingRun(pk=1), TuningRun(pk=1))
    )
    assert "--nnodes" in of_training
    assert "--nnodes" not in of_tuning
    assert "--standalone" in of_tuning
    settings.TRAINING_PROCESSES = 1
    assert "torch.distributed.run" not in command_line(TuningRun(pk=1), grace_seconds=5)


@pytest.fixture
def ready(project, generator, prompts, promoted):
    return project


def start(run) -> subprocess.Popen:
    command = [sys.executable, settings.ROOT / "manage.py", "tune_generator", "--run", str(run.pk)]
    environment = {**os.environ, "DATABASE_URL": database_url()}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_step(run, step, process):
    deadline = monotonic() + PATIENCE
    while run.step < step:
        assert process.poll() is None, process.stderr.read().decode()
        assert monotonic() < deadline
        sleep(0.05)
        run.refresh_from_db()


def weights(generator):
    from safetensors.torch import load_file

    return load_file(f"{generator.location}/unet/diffusion_pytorch_model.safetensors")


def tune_by_hand(project, **config):
    settings = [f"--set={name}={value}".replace("'", '"') for name, value in config.items()]
    call_command("tune_generator", project.slug, *settings, verbosity=0)
    return Generator.objects.filter(run__isnull=False).first()


@for_real
def test_a_tuned_lora_is_sampled_over_its_pipeline_and_tuned_further_and_exported_whole(ready, tmp_path):
    from refl.learning.families.loading import load_family

    start = ready.generators.get()
    quick = {**QUICK, "weights": '"lora"', "lora_rank": 2, "learning_rate": 0.01, "sample_prompts": 1}
    first = tune_by_hand(ready, **quick)
    assert first.location == start.location
    assert [file.parent.parent for file in first.loras] == [first.run.folder]
    assert first.metrics["tuned_on"]["difference"] != 0
    Generator.objects.filter(pk=first.pk).update(kept=True, reason="For a test.")
    second = tune_by_hand(ready, **quick)
    assert (second.parent, second.location) == (first, start.location)
    assert second.loras == [*first.loras, second.run.folder / "pipeline" / first.loras[0].name]

    call_command("export_generator", ready.slug, second.name, to=tmp_path / "whole")
    plain = load_family(tmp_path / "whole", "cpu").denoiser.state_dict()
    for name, weight in load_family(second.location, "cpu", loras=second.loras).denoiser.state_dict().items():
        assert weight.equal(plain[name])
    with pytest.raises(CommandError, match="is there already"):
        call_command("export_generator", ready.slug, second.name, to=tmp_path / "whole")


@for_real
def test_the_command_tunes_judges_and_says_what_came_of_it(ready, capsys):
    tuned = tune_by_hand(ready, **QUICK)
    run = tuned.run
    assert run.state == TuningRun.State.FINISHED
    assert run.points.count() == QUICK["updates"]
    assert {"reward", "reward_loss", "pretraining_loss"} <= set(run.points.first().values)
    assert {file.name for file in run.folder.glob("samples/*.png")} == {"step-000000.png", "step-000003.png"}
    assert tuned.kept is not None
    assert tuned.metrics["held_out"]["shipped"]["prompts"] == tuned.metrics["tuned_on"]["prompts"] > 0
    assert f"{tuned}: {'kept' if tuned.kept else 'not kept'}" in capsys.readouterr().out
    judged = read_judged(run.folder)
    assert [pair.prompt for pair in judged] == held_out_prompts(run.checkpoint)
    assert judged
    assert [pair.seed for pair in judged] == [seeds_of(pair.prompt, 1)[0] for pair in judged]
    for side, generator in (("before", run.generator), ("after", tuned)):
        drawn = draw(generator, [pair.prompt for pair in judged], each=1)
        for number, (image,) in enumerate(drawn):
            with Image.open(judged_file(run.folder, number, side)) as stored:
                distance = np.abs(np.asarray(stored, int) - np.asarray(image, int))
            assert distance.max() <= 1  # what shares its batch rounds it


@for_real
def test_a_run_that_its_guards_stop_is_finished_and_its_generator_is_not_kept_with_the_reason(ready, capsys):
    guarded = {"guard_every": 1, "guard_prompts": 10, "guard_limits": {"held_out": -9.0, "drift": 1e-6}}
    tuned = tune_by_hand(ready, **{**QUICK, **guarded, "learning_rate": 0.01})
    run = tuned.run
    assert (run.state, run.step, run.steps) == (TuningRun.State.FINISHED, 1, QUICK["updates"])
    assert tuned.kept is False
    assert "The guards kept the untuned generator" in tuned.reason
    assert "an alarm ended the run: drift rose from 0 to" in tuned.reason
    assert tuned.reason in capsys.readouterr().out
    guards = tuned.metrics["guards"]
    assert (guards["best"], guards["alarm"]["figure"]) == (0, "drift")
    assert "held_out/shipped" in guards["base"]
    before = weights(tuned.parent)
    assert all((tensor == before[name]).all() for name, tensor in weights(tuned).items())
    assert "guards/held_out/shipped" in run.points.get(step=0).values
    frozen = json.loads((run.folder / "prompts.json").read_text())
    assert len(frozen["guards"]) == 10
    assert not set(frozen["guards"]) & set(frozen["held_out"])


@for_real
def test_a_tuning_without_reward_is_a_control_and_is_not_kept(ready, capsys):
    control = tune_by_hand(ready, **{**QUICK, "reward_weight": 0})
    assert control.run.state == TuningRun.State.FINISHED
    assert {"reward", "reward_loss"}.isdisjoint(control.run.points.first().values)
    assert (control.kept, control.metrics) == (False, {})
    assert f"{control}: not kept. A control" in capsys.readouterr().out


@for_real
def test_what_is_kept_is_decided_by_the_reward_it_was_not_tuned_on(project, generator, prompts, tmp_path):
    """One and the same ruined generator, judged by a reward model and by its opposite."""
    for name, sign in (("likes", 1), ("dislikes", -1)):
        save_reward_model(tmp_path / name, seed=8, sign=sign)
        register_checkpoint(project=project, name=name, folder=str(tmp_path / name))
    # No reward lies below this ceiling, so neither model has a say in the tuning.
    ruin = {**QUICK, "reward_ceiling": -1e6, "learning_rate": 0.5}
    verdicts = []
    for name in ("likes", "dislikes"):
        queue_tuning(
            project=project,
            generator=generator,
            checkpoint=RewardCheckpoint.objects.get(name=name),
            config=ruin,
        )
        run = TuningRun.objects.first()
        call_command("tune_generator", "--run", str(run.pk))
        verdicts.append(run.result)
    first, second = verdicts
    assert all((tensor == weights(second)[name]).all() for name, tensor in weights(first).items())
    assert {first.kept, second.kept} == {True, False}
    for tuned in verdicts:
        [held_out] = tuned.metrics["held_out"].values()
        assert tuned.kept is (held_out["difference"] > 0)
        assert tuned.metrics["tuned_on"]["difference"] * held_out["difference"] < 0


@for_real
def test_a_killed_tuning_resumes_and_ends_with_the_weights_of_one_never_killed(ready):
    whole = tune_by_hand(ready, **SLOW)
    run = queue_tuning(project=ready, generator=whole.parent, config=SLOW)
    process = start(run)
    wait_for_step(run, 6, process)
    process.kill()
    process.wait()
    run.refresh_from_db()
    assert run.state == TuningRun.State.RUNNING
    assert 0 < run.step < SLOW["updates"]

    assert jobs.requeue_silent(TuningRun, now=now() + timedelta(seconds=61)) == 1
    assert start(run).wait() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (TuningRun.State.FINISHED, 2)
    assert run.points.count() == SLOW["updates"]
    expected = weights(whole)
    assert all((tensor == expected[name]).all() for name, tensor in weights(run.result).items())
    assert run.result.metrics == whole.metrics


@for_real
def test_a_cancelled_tuning_stops_and_leaves_no_generator(ready):
    run = queue_tuning(project=ready, config={**SLOW, "updates": 5000})
    process = start(run)
    wait_for_step(run, 2, process)
    states.cancel(run, now=now())
    assert process.wait(timeout=PATIENCE) == 1
    run.refresh_from_db()
    assert run.state == TuningRun.State.CANCELLED
    assert not Generator.objects.filter(run=run).exists()


@for_real
def test_a_worker_tunes_what_was_queued(ready, worker):
    from rewardmodel.tasks import tend_runs

    run = queue_tuning(project=ready, config=QUICK)
    tend_runs.delay()
    deadline = monotonic() + PATIENCE
    while not run.is_over and monotonic() < deadline:
        sleep(0.2)
        run.refresh_from_db()
    assert run.state == TuningRun.State.FINISHED, run.error
    assert run.result.kept is not None
    assert run.peak_memory > 2**20


@for_real
def test_a_run_goes_on_with_the_prompts_it_started_with(ready, prompts):
    tuned = tune_by_hand(ready, **QUICK)
    frozen = json.loads((tuned.run.folder / "prompts.json").read_text())
    ready.prompts.create(key="late", text="a red fox that came in late")
    assert "a red fox that came in late" not in frozen["tuning"] + frozen["held_out"]
    assert not set(frozen["tuning"]) & set(frozen["held_out"])


def test_one_generator_of_a_project_is_tuned_at_a_time(ready):
    queue_tuning(project=ready)
    with pytest.raises(CannotTune, match="being tuned already"):
        queue_tuning(project=ready)


def test_the_sample_grids_are_made_as_the_generator_is_sampled_from(ready, generator):
    assert queue_tuning(project=ready).config["sample_steps"] == generator.steps


def test_a_generator_without_pretraining_pairs_is_tuned_only_by_what_needs_none(ready, generator):
    generator.pretraining = ""
    generator.save(update_fields=["pretraining"])
    with pytest.raises(CannotTune, match="pre-training"):
        queue_tuning(project=ready)
    run = queue_tuning(project=ready, config={"method": "selected", "selection": "raft"})
    assert run.state == TuningRun.State.QUEUED  # it learns from the generator's own samples


def test_a_generator_that_is_not_kept_is_tuned_no_further(ready, generator):
    for kept in (None, False):
        Generator.objects.update(kept=kept)
        generator.refresh_from_db()
        with pytest.raises(CannotTune, match="small is not kept"):
            queue_tuning(project=ready, generator=generator)


def test_a_project_without_a_promoted_reward_model_cannot_tune(project, generator, prompts, shipped):
    with pytest.raises(NothingPromoted):
        queue_tuning(project=project)


@pytest.mark.parametrize(
    ("config", "said"), [({"updates": 0}, "must be at least 1"), ({"lambda": 1}, "unexpected keyword")]
)
def test_a_configuration_that_no_run_can_have_is_refused(ready, config, said):
    with pytest.raises(CannotTune, match=said):
        queue_tuning(project=ready, config=config)
    assert not TuningRun.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name either a project or"),
        (["nowhere"], "no project 'nowhere'"),
        (["project-0", "--generator", "x"], "no generator 'x'; there is: small"),
        (["project-0", "--checkpoint", "x"], "no checkpoint 'x'"),
        (["project-0", "--set", "updates"], "not FIELD=VALUE"),
        (["--run", "999999"], "no run 999999"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(ready, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("tune_generator", *arguments)
    assert not TuningRun.objects.exists()
