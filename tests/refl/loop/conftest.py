"""Rankings and a model that learns from them, beside the generators of the folder above."""

import json

import pytest
from django.utils.timezone import now
from PIL import Image

from refl.judged_images import store_judged
from refl.services.generators import keep_if_sound, register_tuned
from refl.services.tuning import queue_tuning
from rewardmodel.models import RewardCheckpoint, TrainingPolicy
from rewardmodel.runs import states
from tests.refl.test_generators import RISE
from tests.rewardmodel.conftest import QUICK, _folders, a_model, encoder, encoder_folder, project, rank

__all__ = ["_folders", "a_model", "encoder", "encoder_folder", "project", "rank"]

METRICS = {
    "accuracy": 0.728,
    "interval": (0.64, 0.79),
    "pairs": 162,
    "prompts": 40,
    "ceiling": 0.8,
    "beside": [
        {
            "id": 1,
            "name": "shipped",
            "accuracy": 0.636,
            "difference": 0.092,
            "difference_interval": (0.01, 0.17),
        }
    ],
}


@pytest.fixture
def training_policy(project):
    return TrainingPolicy.objects.create(project=project, retrain_after=20, config=QUICK)


@pytest.fixture
def round_over(project, generator, prompts, promoted, policy, training_policy, rank):
    """A tuned generator that is kept, after a round: rankings, a promoted model, its tuning."""
    rank(3)
    RewardCheckpoint.objects.filter(pk=promoted.pk).update(metrics=METRICS)
    run = queue_tuning(project=project, because=f"{promoted} was promoted")
    states.claim(run, now=now())
    states.record_progress(run, now=now(), step=3, steps=3, points={})
    run.folder.mkdir(parents=True)
    (run.folder / "prompts.json").write_text(json.dumps({"tuning": [prompts[0].text]}))
    images = [[Image.new("RGB", (16, 16), colour)] * 3 for colour in ("tan", "teal")]
    store_judged(run.folder, [prompt.text for prompt in prompts[:3]], [1, 2, 3], *images)
    tuned = register_tuned(run=run)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    states.finish(run, now=now())
    return tuned
