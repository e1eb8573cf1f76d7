"""Files of BLIP and ImageReward: they load, come out as they went in, and nothing passes unseen."""

import logging
import os
import pickle
import traceback

import pytest
import torch
from transformers import BlipForImageTextRetrieval

from rewardmodel.learning import checkpoints
from rewardmodel.learning.checkpoints.published import write as write_published
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.blip import BlipConfig, blip_vit_large
from rewardmodel.learning.model.backbones.blip_layouts import (
    write_blip,
    write_image_reward,
    write_transformers,
)
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.heads import HeadConfig
from rewardmodel.learning.model.reward import RewardModel
from tests.rewardmodel.learning.conftest import WORDS, spread

TOKENS = len(WORDS) + 2  # and [DEC], [ENC]
SHAPE = BlipConfig(
    VisionConfig(32, 8, width=128, layers=2, heads=2, feed_forward=64),
    TextConfig(TOKENS, positions=40, width=64, layers=2, heads=1, feed_forward=96),
    HeadConfig((16, 8, 8, 4)),
    projection=6,
)
LARGE_COUNTS = (624, 446_665_953)  # weights and their values in ImageReward.pt


@pytest.fixture
def model() -> RewardModel:
    return spread(RewardModel(SHAPE)).eval()


@pytest.fixture
def folder(tmp_path):
    """Holds BERT's vocabulary, as a user would put it there."""
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    return tmp_path


@pytest.fixture
def published(folder, model):
    write_image_reward(model.config, model.state_dict(), folder / "ImageReward.pt")
    return folder / "ImageReward.pt"


def same(one: RewardModel, other: RewardModel, beginning: str = "") -> bool:
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(
        torch.equal(each, others[name]) for name, each in weights.items() if name.startswith(beginning)
    )


def inputs(dtype=torch.float32):
    """Prompts of 5, 32 and 35 tokens."""
    mask = (torch.arange(35) < torch.tensor([[5], [32], [35]])).long()
    tokens = torch.randint(5, TOKENS, (3, 35)) * mask
    return tokens, mask, torch.randn(3, 3, 32, 32, dtype=dtype)


def test_image_reward_loads_from_its_file_and_from_a_folder_with_nothing_but_it(published, model):
    for place in (published, published.parent):
        read = checkpoints.load(place)
        assert same(read.model, model)
        assert read.config.backbone == SHAPE
        assert (read.config.mean, read.config.std) == (0.16717362830052426, 1.0333394966054072)
        assert read.tokenizer("a red circle")["input_ids"] == [2, 5, 6, 8, 3]
        assert read.tokenizer.convert_tokens_to_ids(["[DEC]", "[ENC]"]) == [TOKENS - 2, TOKENS - 1]


def test_under_another_name_it_is_warned_that_rewards_are_not_normalised(published, caplog):
    with caplog.at_level(logging.WARNING):
        checkpoints.load(published)
        assert caplog.text == ""
        renamed = published.rename(published.with_name("v1.pt"))
        read = checkpoints.load(renamed)
    assert (read.config.mean, read.config.std) == (0.0, 1.0)
    assert "v1.pt: rewards are taken as they come" in caplog.text
    assert "If it is the published ImageReward.pt, give it that name" in caplog.text


def test_image_reward_is_written_again_as_it_was(published, tmp_path):
    again = checkpoints.load(published).model
    write_image_reward(again.config, again.state_dict(), tmp_path / "again.pt")
    old, new = (torch.load(file) for file in (published, tmp_path / "again.pt"))
    assert list(old) == list(new)
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert old["blip.text_encoder.embeddings.position_ids"].shape == (1, 40)


def test_the_large_model_has_the_published_files_entries():
    with torch.device("meta"):
        weights = RewardModel(blip_vit_large()).state_dict()
    assert (len(weights), sum(each.numel() for each in weights.values())) == LARGE_COUNTS


def test_a_published_model_comes_back_from_our_own_folder(published, tmp_path):
    read = checkpoints.load(published)
    checkpoints.save(tmp_path / "ours", model=read.model, tokenizer=read.tokenizer, config=read.config)
    again = checkpoints.load(tmp_path / "ours")
    assert same(again.model, read.model)
    assert again.config == read.config
    assert len(again.tokenizer) == TOKENS


def test_a_retrained_file_of_several_devices_is_recognised_and_not_normalised(published, model, caplog):
    weights = torch.load(published)
    torch.save({f"module.{name}": each for name, each in weights.items()}, published)
    with caplog.at_level(logging.WARNING):
        read = checkpoints.load(published)
    assert same(read.model, model)
    assert (read.config.mean, read.config.std) == (0, 1)
    assert "DistributedDataParallel" in caplog.text


@pytest.fixture
def pretrained(folder, model):
    """BLIP's own file with everything that lies in it besides."""
    file = folder / "model_large.pth"
    write_blip(model.config, model.state_dict(), file)
    weights = torch.load(file)["model"]
    besides = {f"visual_encoder_m.{n[15:]}": w for n, w in weights.items() if n[:15] == "visual_encoder."}
    for name in ("image_queue", "text_queue", "queue_ptr", "temp", "itm_head.weight", "text_proj_m.bias"):
        besides[name] = torch.zeros(1)
    besides["text_decoder.bert.embeddings.word_embeddings.weight"] = torch.zeros(2, 2)
    torch.save({"model": weights | besides}, file)
    return file


def test_blips_file_gives_its_encoders_and_a_fresh_head_which_is_the_same_each_time(pretrained, model):
    read = checkpoints.load(pretrained)
    assert same(read.model, model, "blip.")
    assert not same(read.model, model, "mlp.")
    torch.manual_seed(7)
    assert same(read.model, checkpoints.load(pretrained).model)
    assert (read.config.mean, read.config.std) == (0, 1)


def test_what_is_no_known_leftover_is_an_error_that_lists_it(pretrained):
    weights = torch.load(pretrained)["model"]
    weights["cls_head.0.weight"] = torch.zeros(1)
    del weights["text_encoder.encoder.layer.1.output.dense.bias"]
    torch.save({"model": weights}, pretrained)
    with pytest.raises(CheckpointError) as refusal:
        checkpoints.load(pretrained)
    assert "unexpected blip.cls_head.0.weight" in str(refusal.value)
    assert "missing blip.text_encoder.encoder.layer.1.output.dense.bias" in str(refusal.value)


def test_another_image_size_interpolates_the_table_of_positions(pretrained):
    small, large = checkpoints.load(pretrained), checkpoints.load(pretrained, image_size=64)
    assert large.config.backbone.image_input.size == 64
    before, after = (each.model.blip.visual_encoder.pos_embed for each in (small, large))
    assert after.shape == (1, 65, 128)
    assert torch.equal(after[:, 0], before[:, 0])
    means = [table[:, 1:].mean().item() for table in (before, after)]
    assert means[0] == pytest.approx(means[1], abs=0.02)
    with pytest.raises(CheckpointError, match="no multiple of 8"):
        checkpoints.load(pretrained, image_size=60)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_reward_is_that_of_transformers_with_the_same_weights(folder, model, dtype, tolerance):
    write_transformers(model.config, model.state_dict(), folder / "theirs")
    theirs = BlipForImageTextRetrieval.from_pretrained(folder / "theirs").eval().to(dtype)
    model.to(dtype)
    tokens, mask, images = inputs(dtype)
    with torch.no_grad():
        seen = theirs.vision_model(images).last_hidden_state
        read = theirs.text_encoder(tokens, mask, encoder_hidden_states=seen, is_decoder=False)
        expected = model.mlp(read.last_hidden_state[:, 0])
        rewards = model.score(tokens, mask, images)
    assert expected.std() > 0.01
    torch.testing.assert_close(rewards, expected, rtol=0, atol=tolerance)


def test_transformers_form_comes_back_with_its_head(folder, model):
    write_transformers(model.config, model.state_dict(), folder)
    read = checkpoints.load(folder)
    assert same(read.model, model)
    assert read.config.backbone == SHAPE


def test_a_form_that_would_be_read_back_as_another_model_is_not_written(tmp_path):
    many_heads = RewardModel(
        BlipConfig(VisionConfig(32, 8, width=128, layers=2, heads=4, feed_forward=64), SHAPE.text, SHAPE.head)
    )
    with pytest.raises(CheckpointError, match=r"model\.pt: this form means heads 2; the model has 4"):
        write_published(many_heads, None, tmp_path / "model.pt", "image-reward")
    assert not list(tmp_path.iterdir())


def test_two_files_in_a_folder_must_be_told_apart(published, pretrained):
    with pytest.raises(CheckpointError, match=r"ImageReward\.pt, model_large\.pth; name the one"):
        checkpoints.load(published.parent)


def test_without_its_tokenizer_and_a_network_it_says_what_to_fetch_and_where_to_put_it(
    published, monkeypatch
):
    (published.parent / "vocab.txt").unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError) as refusal:
        checkpoints.load(published)
    for part in ("tokenizer.json or vocab.txt", "google-bert/bert-base-uncased", str(published.parent)):
        assert part in str(refusal.value)


class Program:
    """What a pickle may hold: it runs when it is opened."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save({"blip.visual_encoder.cls_token": torch.ones(1), "more": Program()}, "evil.pt")
    with pytest.raises(CheckpointError, match=r"holds code beside weights \(posix\.mkdir\)"):
        checkpoints.load("evil.pt")
    assert not (folder / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_refuses_a_pickle_advises_to_run_it(folder, protocol):
    content = {"blip.visual_encoder.cls_token": Program()}
    (folder / "evil.pt").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(CheckpointError) as refusal:
        checkpoints.load(folder / "evil.pt")
    told = "".join(traceback.format_exception(refusal.value))
    assert "evil.pt" in told
    assert "will likely succeed" not in told


def test_an_empty_a_truncated_and_a_foreign_file_are_refused_with_the_reason(published):
    whole = published.read_bytes()
    for content, reason in ((b"", "empty"), (whole[:-300], "truncated"), (b"a letter", "torch.save")):
        published.write_bytes(content)
        with pytest.raises(CheckpointError, match=reason):
            checkpoints.load(published)


def test_weights_that_are_no_numbers_are_named(published):
    weights = torch.load(published)
    weights["mlp.layers.7.bias"][0] = torch.nan
    torch.save(weights, published)
    with pytest.raises(CheckpointError, match=r"no finite numbers: mlp\.layers\.7\.bias"):
        checkpoints.load(published)


def test_another_architecture_is_refused_by_its_first_names_and_the_known_ones(folder):
    torch.save({"conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}, folder / "resnet.pt")
    with pytest.raises(CheckpointError, match=r"begins with conv1\.weight.*known are ImageReward"):
        checkpoints.load(folder / "resnet.pt")
    torch.save({"epoch": 3, "fc.weight": torch.zeros(1)}, folder / "resnet.pt")
    with pytest.raises(CheckpointError, match="more than weights: epoch"):
        checkpoints.load(folder / "resnet.pt")
