"""A project whose finished rankings can be frozen, and a reward model small enough to train in a test."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from annotation.models import Project
from annotation.services.assignments.assignments import claim_next, open_assignments
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingRun
from rewardmodel.services.checkpoints import register_checkpoint
from tests.cast import *  # noqa: F403
from tests.cast import NOW, answer_for, luck, picture
from tests.workers import database_url

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "circle", "number"]
QUICK = {
    "epochs": 1,
    "batch_pairs": 3,
    "validations_per_epoch": 1,
    "checkpoint_every": 1,
    "learning_rate": 1e-3,
}


@pytest.fixture
def project(a_project) -> Project:
    """Asks for rankings alone, and counts them at once."""
    return a_project(asks_label=False, asks_ratings=False, review_share=0.0)


@pytest.fixture
def rank(alice, project) -> Callable[..., None]:
    """`rank(20)`: alice ranks three images of each of so many new prompts; the redder image is better."""
    numbers = count(1)

    def answer(prompts: int, text: str = "red circle number {}") -> None:
        for number in (next(numbers) for _ in range(prompts)):
            key = f"r{number}"
            made, _ = add_prompts(project=project, texts={key: text.format(number)})
            images = [
                NewImage(picture(256 * number + 100 * i, size=(16, 16)), f"{key}-{i}.png") for i in range(3)
            ]
            add_generations(prompt=made[key], images=images)
            open_assignments(prompts=[made[key]])
            now = NOW + timedelta(minutes=number)
            held = claim_next(annotator=alice, project=project, now=now, generator=luck())
            judgement = answer_for(held, slots=[3, 2, 1])
            submit_judgement(assignment=held, annotator=alice, judgement=judgement, now=now, generator=luck())

    return answer


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory) -> Path:
    """A tiny reward model that has seen no ranking."""
    import torch
    from transformers import BertTokenizer

    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.checkpoints.folder import CheckpointConfig
    from rewardmodel.learning.model.backbones.blip import BlipConfig
    from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
    from rewardmodel.learning.model.heads import HeadConfig
    from rewardmodel.learning.model.reward import RewardModel

    torch.set_num_threads(1)
    torch.manual_seed(3)
    backbone = BlipConfig(
        vision=VisionConfig(16, 8, width=16, layers=2, heads=2, feed_forward=32),
        text=TextConfig(len(WORDS), positions=35, width=16, layers=2, heads=2, feed_forward=32),
        head=HeadConfig((16, 8), (0.1,)),
    )
    model = RewardModel(backbone)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("encoder") / "encoder"
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    checkpoints.save(folder, model=model, tokenizer=tokenizer, config=CheckpointConfig(backbone))
    return folder


@pytest.fixture(scope="session")
def sentence_encoder(tmp_path_factory) -> Path:
    """A sentence-transformers folder of random weights."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = [*WORDS, *["a", "blue", "fox", "owl", "in", "at", "the", "snow", "night"]]
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    folder = tmp_path_factory.mktemp("sentences")
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(folder)
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [{"idx": i, "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


@pytest.fixture
def encoder(project, encoder_folder) -> RewardCheckpoint:
    return register_checkpoint(project=project, name="encoder", folder=str(encoder_folder))


@pytest.fixture
def referenced(encoder_folder, tmp_path) -> Path:
    """The tiny reward model once more, which knows the rewards of the images it was validated on."""
    folder = tmp_path / "referenced"
    shutil.copytree(encoder_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["reference"] = {"quantiles": [n / 50 - 1 for n in range(101)], "images": 40, "temperature": 0.5}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def a_model(project, encoder) -> Callable[..., RewardCheckpoint]:
    """`a_model(0.1, 0.97)`: a run's checkpoint that leads every other by so much, that probably."""
    dataset = DatasetVersion.objects.create(
        project=project,
        **{"hash": "0" * 64, "folder": "frozen", "counts": {}, "shares": {}, "answers": 300, "left_out": 0},
    )

    def make(lead: float, probability: float = 0.5, pairs: int = 400, prompts: int = 80) -> RewardCheckpoint:
        over = {"state": TrainingRun.State.FINISHED, "finished_at": NOW}
        run = TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder, **over)
        size = {"pairs": pairs, "prompts": prompts}
        ends = {"difference_interval": [lead - 0.05, lead + 0.05]}
        rivals = [
            {"id": rival.pk, "name": rival.name, "accuracy": 0.6, "interval": [0.55, 0.65], **size, **ends}
            | {"difference": lead, "probability": probability}
            for rival in RewardCheckpoint.objects.filter(project=project)
        ]
        metrics = {"accuracy": 0.6 + lead, "interval": [0.55 + lead, 0.65 + lead], **size}
        return RewardCheckpoint.objects.create(
            project=project,
            name=f"model-{run.pk}",
            run=run,
            metrics=metrics | {"dataset": dataset.hash, "ceiling": None, "beside": rivals},
        )

    return make


@pytest.fixture(autouse=True)
def _folders(settings, tmp_path):
    """Datasets and runs of a test lie in folders of its own."""
    settings.DATASETS_DIR, settings.RUNS_DIR = tmp_path / "datasets", tmp_path / "runs"


@pytest.fixture
def processes(monkeypatch, settings, tmp_path, transactional_db):
    """Processes that a test starts see its rows and its files."""
    settings.MEDIA_ROOT = tmp_path / "images"
    monkeypatch.setenv("DATABASE_URL", database_url())
    monkeypatch.setenv("CELERY_BROKER_URL", settings.CELERY_BROKER_URL)
    monkeypatch.setenv("LAUREL_VAR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
