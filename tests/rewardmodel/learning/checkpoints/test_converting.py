"""A model in the forms that others publish: found by its published name, and converted there and back."""

import dataclasses
import resource

import pytest
import torch
from PIL import Image

from rewardmodel.learning import checkpoints, load
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.cli.main import main
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel
from tests.limits import limited
from tests.rewardmodel.learning.conftest import WORDS, spread


@pytest.fixture
def ours(tmp_path, tokenizer):
    """A folder of a tiny model of a shape that the published files can hold."""
    shape = BlipConfig(
        VisionConfig(32, 8, width=128, layers=2, heads=2, feed_forward=64),
        TextConfig(len(WORDS) + 2, positions=40, width=64, layers=2, heads=1, feed_forward=96),
        HeadConfig((16, 8, 8, 4)),
        projection=6,
    )
    model = spread(RewardModel(shape)).eval()
    checkpoints.save(tmp_path / "ours", model=model, tokenizer=tokenizer, config=CheckpointConfig(shape))
    return tmp_path / "ours"


@pytest.fixture
def images(tmp_path):
    for red in (20, 240):
        Image.new("RGB", (32, 32), (red, 90, 90)).save(tmp_path / f"{red}.png")
    return [tmp_path / "20.png", tmp_path / "240.png"]


@pytest.mark.parametrize(("form", "name"), [("transformers", "theirs"), ("image-reward", "theirs/model.pt")])
def test_there_and_back_it_scores_the_same(ours, images, tmp_path, form, name):
    theirs = tmp_path / name
    assert main(["convert", str(ours), str(theirs), "--form", form]) == 0
    if form == "image-reward":
        (theirs.parent / "vocab.txt").write_text("\n".join(WORDS))
    assert main(["convert", str(theirs), str(tmp_path / "back")]) == 0
    expected = load(ours, "cpu").score("a red circle", images)
    assert load(tmp_path / "back", "cpu").score("a red circle", images) == pytest.approx(expected, abs=1e-5)


def test_the_published_name_scores_with_the_published_mean_and_deviation(ours, images, tmp_path):
    root = tmp_path / "cache"
    main(["convert", str(ours), str(root / "ImageReward.pt"), "--form", "image-reward"])
    (root / "vocab.txt").write_text("\n".join(WORDS))
    raw = torch.tensor(load(ours, "cpu").score("a red circle", images))
    model = load("ImageReward-v1.0", "cpu", str(root))
    expected = (raw - 0.16717362830052426) / 1.0333394966054072
    assert model.score("a red circle", images) == pytest.approx(expected.tolist(), abs=1e-5)
    assert (model.mean, model.std) == (0.16717362830052426, 1.0333394966054072)


def test_what_a_form_does_not_hold_is_said(ours, tmp_path, capsys):
    main(["convert", str(ours), str(tmp_path / "model.pth"), "--form", "blip"])
    assert capsys.readouterr().out == f"{tmp_path / 'model.pth'}: does not hold the head\n"


def test_the_published_name_is_no_place_for_another_mean_unsaid(ours, tmp_path, capsys):
    checkpoint = checkpoints.load(ours)
    for name, mean, std in (("same", 0.16717362830052426, 1.0333394966054072), ("other", 0.0, 1.0)):
        config = CheckpointConfig(checkpoint.config.backbone, mean=mean, std=std)
        checkpoints.save(
            tmp_path / name, model=checkpoint.model, tokenizer=checkpoint.tokenizer, config=config
        )
        target = tmp_path / f"from-{name}" / "ImageReward.pt"
        assert main(["convert", str(tmp_path / name), str(target), "--form", "image-reward"]) == 0
    same, other = capsys.readouterr().out.splitlines()
    assert same.endswith("ImageReward.pt: written")
    assert "does not hold the scores' mean 0.0 and deviation 1.0" in other
    assert "under this name it is read with 0.16717362830052426 and 1.0333394966054072" in other


@pytest.mark.parametrize("form", ["laurel", "transformers", "image-reward", "blip"])
def test_on_a_full_disk_nothing_is_left_of_what_was_not_written_whole(ours, tmp_path, capsys, form):
    before = sorted(tmp_path.iterdir())
    with limited(resource.RLIMIT_FSIZE, 100_000):
        assert main(["convert", str(ours), str(tmp_path / "theirs"), "--form", form]) == 1
    assert "theirs: cannot be saved" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_heads_for_aspects_stay_behind_and_that_is_said(ours, images, tmp_path, capsys):
    plain = checkpoints.load(ours)
    plain.model.set_aspects(["fidelity"])
    config = dataclasses.replace(plain.config, aspects=("fidelity",))
    checkpoints.save(tmp_path / "heads", model=plain.model, tokenizer=plain.tokenizer, config=config)
    main(["convert", str(tmp_path / "heads"), str(tmp_path / "theirs"), "--form", "transformers"])
    assert capsys.readouterr().out == f"{tmp_path / 'theirs'}: does not hold the head for fidelity\n"
    expected = load(ours, "cpu").score("a red circle", images)
    assert load(tmp_path / "theirs", "cpu").score("a red circle", images) == pytest.approx(expected, abs=1e-5)


def test_nothing_is_written_over(ours, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    assert main(["convert", str(ours), str(tmp_path / "there")]) == 1
    assert "there: is there already" in capsys.readouterr().err
