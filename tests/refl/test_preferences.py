"""Tuning straight from preferences: which are learned from, and what is refused before a run starts."""

import json
import shutil
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils.timezone import now
from PIL import Image

from refl.models import TuningRun
from refl.selectors.preferences import preference_dataset
from refl.selectors.prompts import held_out_prompts, tuning_prompts
from refl.services.preferences import run_preferences
from refl.services.tuning import CannotTune, queue_tuning
from rewardmodel.models import DatasetVersion
from rewardmodel.services.unreadable import TooManyUnreadable
from tests.refl.conftest import QUICK

DPO = {**QUICK, "method": "dpo"}


class Heartbeat:
    """A heart that never asks to stop."""

    def should_stop(self):
        return False


@pytest.fixture
def ready(project, generator, prompts, promoted):
    return project


@pytest.fixture
def a_dataset(ready, promoted, media, settings, tmp_path):
    """The version that the reward model learned from: rankings of these prompts, in the training split."""
    settings.DATASETS_DIR = tmp_path / "datasets"

    def make(texts):
        images = Path(default_storage.path(""))
        images.mkdir(parents=True, exist_ok=True)
        for colour in ("red", "green", "blue"):
            Image.new("RGB", (16, 16), colour).save(images / f"{colour}.png")
        rows = [
            {
                "id": str(number),
                "prompt": text,
                "split": "train",
                "images": ["red.png", "green.png", "blue.png"],
                "ranking": [1, 2, 2],
            }
            for number, text in enumerate(texts)
        ]
        dataset = promoted.run.dataset
        dataset.folder, dataset.counts = "preferred", {"train": {"pairs": 2 * len(rows)}}
        dataset.save()
        dataset.path.mkdir(parents=True)
        (dataset.path / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return dataset

    return make


@pytest.mark.django_db
def test_the_preferences_are_those_the_reward_model_learned_from(a_dataset, promoted, shipped, project):
    dataset = a_dataset(["a fox"])
    later = DatasetVersion.objects.create(
        project=project, hash="1" * 64, folder="later", counts={"train": {"pairs": 1}}, shares={}, answers=0,
        left_out=0,
    )  # fmt: skip
    assert preference_dataset(promoted, until=now()) == dataset
    assert preference_dataset(shipped, until=now()) == later
    assert preference_dataset(shipped, until=now() - timedelta(days=1)) is None


@pytest.mark.django_db
def test_prompts_that_judge_the_result_are_not_learned_from_and_ties_neither(a_dataset, promoted, ready):
    held_out, learned = held_out_prompts(promoted)[0], tuning_prompts(promoted)[0]
    a_dataset([held_out, learned])
    run = queue_tuning(project=ready, config=DPO)
    judged_by = held_out_prompts(promoted)
    with run_preferences(run, held_out=judged_by, heartbeat=Heartbeat()) as preferences:
        pairs = [(each.prompt, each.chosen.name, each.rejected.name) for each in preferences]
    assert pairs == [(learned, "red.png", other) for other in ("green.png", "blue.png")]


@pytest.mark.django_db
def test_rankings_with_an_image_that_cannot_be_read_are_not_learned_from_and_the_run_names_it(
    a_dataset, promoted, ready, settings, tmp_path
):
    settings.RUNS_DIR = tmp_path / "runs"
    dataset = a_dataset(tuning_prompts(promoted)[:1])
    rows = [json.loads((dataset.path / "rankings.jsonl").read_text())]
    others = [f"{number}.png" for number in range(9)]
    for name in others:
        shutil.copy(default_storage.path("red.png"), default_storage.path(name))
    rows += [
        {**rows[0], "id": "8", "images": others},
        {**rows[0], "id": "9", "images": ["red.png", "gone.png"]},
    ]
    rows[1]["ranking"], rows[2]["ranking"] = [*range(1, 10)], [1, 2]
    (dataset.path / "rankings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = queue_tuning(project=ready, config=DPO)
    for _ in range(2):  # resumed, it learns from the same
        with run_preferences(run, held_out=[], heartbeat=Heartbeat()) as preferences:
            assert len(preferences) == 2 + 36
        shutil.copy(default_storage.path("red.png"), default_storage.path("gone.png"))
    run.refresh_from_db()
    assert run.unreadable["preferences"]["files"] == {"gone.png": "no such image"}
    for name in ("gone.png", "blue.png"):
        Path(default_storage.path(name)).unlink()
    with (
        pytest.raises(TooManyUnreadable, match=r"^2 of 13 images"),
        run_preferences(run, held_out=[], heartbeat=Heartbeat()),
    ):
        pytest.fail("it must not begin")


@pytest.mark.django_db
def test_without_preferences_a_run_that_needs_them_is_refused(ready):
    with pytest.raises(CannotTune, match="no dataset version with preferences to tune on: freeze one"):
        queue_tuning(project=ready, config=DPO)
    with pytest.raises(CannotTune, match="no dataset version with preferences"):
        queue_tuning(project=ready, config={**QUICK, "stages": [{"updates": 1}, {"method": "dpo"}]})
    assert not TuningRun.objects.exists()


@pytest.mark.django_db
def test_pairs_are_asked_for_only_where_a_method_needs_them(a_dataset, promoted, generator, ready):
    a_dataset(tuning_prompts(promoted)[:1])
    generator.pretraining = ""
    generator.save()
    with pytest.raises(CannotTune, match="no folder of pre-training pairs"):
        queue_tuning(project=ready, config=QUICK)
    assert queue_tuning(project=ready, config=DPO).state == TuningRun.State.QUEUED


@pytest.mark.django_db(transaction=True)
def test_the_command_tunes_on_preferences_without_pairs_and_judges_as_ever(a_dataset, generator, ready):
    a_dataset([f"a {colour} {animal}" for colour, animal in product(("red", "green"), ("fox", "owl"))])
    generator.pretraining = ""
    generator.save()
    fields = [f"--set={name}={json.dumps(value)}" for name, value in QUICK.items()]
    call_command("tune_generator", ready.slug, "--set=method=dpo", *fields, verbosity=0)
    run = TuningRun.objects.get()
    assert run.state == TuningRun.State.FINISHED
    assert run.points.count() == QUICK["updates"]
    assert {"preference_loss", "preference_accuracy"} <= set(run.points.first().values)
    assert "pretraining_loss" not in run.points.first().values
    assert run.result.kept is not None
