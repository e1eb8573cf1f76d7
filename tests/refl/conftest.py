"""A project with prompts, a tiny real pipeline, and tiny real reward models: one shipped, one promoted."""

import json
import random
import shutil
from itertools import product
from pathlib import Path

import pytest
from django.utils.timezone import now

from annotation.services.projects.prompts import add_prompts
from refl.models import TuningPolicy
from refl.services.generators import register_generator
from refl.services.studies import open_study
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingRun
from rewardmodel.services.checkpoints import promote, register_checkpoint
from tests.cast import *  # noqa: F403

SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}
QUICK = {
    "steps": 3,
    "late_steps": [1, 2],
    "updates": 3,
    "batch_size": 4,
    "reward_weight": 0.1,
    "checkpoint_every": 1,
    "sample_prompts": 4,
    "guard_every": 0,
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> Path:
    """A Stable Diffusion pipeline of random weights, 16 pixels wide."""
    from tests.refl.learning.conftest import build_pipeline

    folder = tmp_path_factory.mktemp("pipeline")
    build_pipeline("epsilon").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pretraining(tmp_path_factory) -> Path:
    """Four captioned images."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pretraining")
    rows = []
    for colour in ("red", "green", "blue", "white"):
        Image.new("RGB", (16, 16), colour).save(folder / f"{colour}.png")
        rows.append(json.dumps({"file": f"{colour}.png", "prompt": f"a {colour} page"}))
    (folder / "pairs.jsonl").write_text("\n".join(rows))
    return folder


def save_reward_model(folder: Path, seed: int, *, sign: int = 1, aspects: tuple[str, ...] = ()) -> None:
    """A reward model of random weights; the sign -1 makes it like what it disliked."""
    import torch
    from transformers import BertTokenizer

    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.checkpoints.folder import CheckpointConfig
    from rewardmodel.learning.model.backbones.blip import BlipConfig
    from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
    from rewardmodel.learning.model.heads import HeadConfig
    from rewardmodel.learning.model.reward import RewardModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "green", "blue", "fox", "cat", "owl"]
    backbone = BlipConfig(
        vision=VisionConfig(16, 8, width=16, layers=2, heads=2, feed_forward=32),
        text=TextConfig(len(words), positions=35, width=16, layers=2, heads=2, feed_forward=32),
        head=HeadConfig((16, 8, 8, 4)),
    )
    torch.manual_seed(seed)
    model = RewardModel(backbone, aspects)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    last = list(model.mlp.parameters())[-2:]  # weight and bias of the last layer
    for parameter in last:
        parameter.data *= sign
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    config = CheckpointConfig(backbone, aspects=aspects)
    checkpoints.save(folder, model=model.eval(), tokenizer=tokenizer, config=config)


@pytest.fixture
def prompts(project):
    """Thirty-six prompts without images."""
    texts = [f"a {a} {b} {c}" for a, b, c in product(["red", "green", "blue"], ["fox", "cat", "owl"], "wxyz")]
    added, _ = add_prompts(project=project, texts={f"p{n:02}": text for n, text in enumerate(texts)})
    return list(added.values())


@pytest.fixture
def shipped(project, tmp_path) -> RewardCheckpoint:
    save_reward_model(tmp_path / "shipped", seed=1)
    return register_checkpoint(project=project, name="shipped", folder=str(tmp_path / "shipped"))


@pytest.fixture
def a_promotion(project, shipped):
    """A reward model that a run made, promoted now."""

    def make() -> RewardCheckpoint:
        dataset, _ = DatasetVersion.objects.get_or_create(
            project=project,
            hash="0" * 64,
            defaults={"folder": "none", "counts": {}, "shares": SHARES, "answers": 0, "left_out": 0},
        )
        run = TrainingRun.objects.create(
            project=project, dataset=dataset, initial=shipped, state="finished", finished_at=now()
        )
        save_reward_model(run.folder / "best", seed=2)
        checkpoint = RewardCheckpoint.objects.create(project=project, name=f"reward-{run.pk}", run=run)
        promote(checkpoint, now=now())
        return checkpoint

    return make


@pytest.fixture
def promoted(a_promotion) -> RewardCheckpoint:
    return a_promotion()


@pytest.fixture
def generator(project, pipeline, pretraining):
    return register_generator(
        project=project,
        name="small",
        pipeline=pipeline,
        steps=2,
        guidance_scale=1.0,
        pretraining=pretraining,
    )


@pytest.fixture
def hub_cache(pipeline, tmp_path, monkeypatch):
    """A cache of the hub that holds one pipeline."""
    repository = tmp_path / "models--somebody--sd"
    shutil.copytree(pipeline, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return repository / "snapshots" / ("a" * 40)


@pytest.fixture
def policy(project) -> TuningPolicy:
    return TuningPolicy.objects.create(
        project=project, enabled=True, config=QUICK, prompts_per_round=2, images_per_prompt=2, pool_factor=2
    )


@pytest.fixture
def rivals(project, generator, pipeline):
    """Two more generators of the same pipeline, sampled otherwise."""
    return [
        register_generator(
            project=project, name=name, pipeline=pipeline, steps=steps, guidance_scale=1.0, pretraining=""
        )
        for name, steps in (("coarse", 1), ("fine", 3))
    ]


@pytest.fixture
def a_study(project, prompts, promoted, generator, rivals):
    def make(others=1, **asked):
        return open_study(
            project=project,
            generators=[generator, *rivals[:others]],
            **{"rng": random.Random(5), "captions": 4} | asked,
        )

    return make
