"""A project starts from weights as others publish them."""

import pytest
import torch
from django.core.management import CommandError, call_command

from annotation.models import Generation
from rewardmodel.learning import load
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.blip_layouts import write_blip
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.models import RewardCheckpoint, TrainingRun
from rewardmodel.runs.supervision import supervise
from rewardmodel.selectors import initial_checkpoint
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.training import queue_training
from rewardmodel.serving.model_cache import ModelCache
from tests.cast import NOW
from tests.rewardmodel.conftest import QUICK, WORDS
from tests.rewardmodel.serving.test_served_scores import ScorerProcess, post

VOCABULARY = len(WORDS) + 2  # and [DEC], [ENC]


@pytest.fixture
def blip(tmp_path):
    """A small model_large.pth with BERT's words beside it."""
    torch.manual_seed(5)
    shape = BlipConfig(
        VisionConfig(16, 8, width=64, layers=2, heads=1, feed_forward=32),
        TextConfig(VOCABULARY, positions=40, width=64, layers=2, heads=1, feed_forward=32),
        HeadConfig(),
        projection=6,
    )
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    write_blip(shape, RewardModel(shape).state_dict(), tmp_path / "model_large.pth")
    return tmp_path / "model_large.pth"


def test_a_published_file_is_registered_to_train_from(project, blip, capsys):
    call_command("register_reward_model", project.slug, "blip", str(blip))
    assert "blip is registered" in capsys.readouterr().out
    assert initial_checkpoint(project).location == str(blip)
    assert load(str(blip)).config.max_tokens == 35


def test_without_its_tokenizer_it_is_refused_with_what_to_fetch(project, blip, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (blip.parent / "vocab.txt").unlink()
    with pytest.raises(CommandError, match=r"vocab\.txt"):
        call_command("register_reward_model", project.slug, "blip", str(blip))
    assert not RewardCheckpoint.objects.exists()


def test_a_file_below_the_root_may_be_named_from_there(project, blip, settings):
    settings.ROOT = blip.parent
    call_command("register_reward_model", project.slug, "blip", blip.name)
    assert initial_checkpoint(project).location == str(blip)


def test_a_scorer_takes_the_file_that_lies_there_now(blip):
    models = ModelCache(memory=10**9, device="cpu")
    for location in (str(blip), str(blip.parent)):
        before = models.get(location)
        assert models.get(location) is before
        write_blip(before.model.config, before.model.state_dict(), blip.with_suffix(".new"))
        blip.with_suffix(".new").replace(blip)
        assert models.get(location) is not before


@pytest.mark.django_db(transaction=True)  # a run's heart beats in a thread of its own
def test_a_project_trains_from_a_published_file_and_serves_what_it_made(
    project, rank, blip, processes, ada, settings, tmp_path
):
    rank(24)
    call_command("register_reward_model", project.slug, "blip", str(blip))
    run = queue_training(project=project, config=QUICK)
    supervise(run, should_stop=lambda: False)
    run.refresh_from_db()
    assert run.state == TrainingRun.State.FINISHED, run.log.read_text()
    made = RewardCheckpoint.objects.get(run=run)
    assert [one["name"] for one in made.metrics["beside"]] == ["blip"]
    ours = load(made.location)
    assert ours.config.mean != 0
    promote(made, now=NOW)
    image = Generation.objects.first()
    scorer = ScorerProcess(tmp_path, SECRET_KEY=settings.SECRET_KEY)
    try:
        settings.SCORERS = [scorer.address]
        answer = post(ada, {"project": project.slug, "images": [{"generation": image.pk}]}).json()
    finally:
        scorer.stop()
    assert answer["checkpoint"] == made.name
    own = ours.score(image.prompt.text, image.image.file.path)
    assert answer["scores"][0]["score"] == pytest.approx(own, abs=1e-5)
