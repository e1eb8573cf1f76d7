"""Rewards of several images of a prompt, and which layers a run may change."""

import pytest
import torch

from rewardmodel.learning.model.backbones.blip import blip_vit_large
from rewardmodel.learning.model.reward import RewardModel, freeze


def batch(b: int, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tokens = torch.randint(5, 13, (b, 6))
    return tokens, torch.ones_like(tokens), torch.randn(b, k, 3, 16, 16)


def test_an_images_reward_does_not_depend_on_its_neighbours(model):
    tokens, mask, images = batch(2, 3)
    together = model(tokens, mask, images)
    for row in range(2):
        for column in range(3):
            alone = model(tokens[row : row + 1], mask[row : row + 1], images[row : row + 1, column, None])
            torch.testing.assert_close(alone[0, 0], together[row, column], rtol=0, atol=1e-5)


def test_each_image_is_encoded_once_and_padding_never(model):
    encoded = []
    model.blip.visual_encoder.patch_embed.register_forward_hook(
        lambda _, args, __: encoded.append(len(args[0]))
    )
    tokens, mask, images = batch(2, 4)
    real = torch.tensor([[True] * 4, [True, True, False, False]])

    rewards = model(tokens, mask, images, real)

    assert encoded == [6]
    assert rewards[1, 2:].tolist() == [0, 0]
    torch.testing.assert_close(rewards[real], model(tokens, mask, images)[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("block", [0, 2, 3])
def test_encoding_can_stop_before_any_block_and_go_on_from_there(model, block):
    tokens, mask, images = batch(1, 3)
    images, tokens, mask = images[0], tokens.expand(3, -1), mask.expand(3, -1)
    hidden = model.backbone.encode_prefix(images, block)
    features = model.backbone.encode_suffix(hidden, block)
    assert hidden.shape == features.shape == (3, 5, 16)
    assert torch.equal(features, model.encode(images))
    assert torch.equal(model.score_features(tokens, mask, features), model.score(tokens, mask, images))


@pytest.mark.parametrize(("fix_rate", "frozen"), [(0.0, 0), (0.01, 0), (0.3, 7), (0.7, 16), (1.0, 24)])
def test_vision_blocks_count_as_frozen_when_nothing_up_to_their_end_trains(fix_rate, frozen):
    with torch.device("meta"):
        model = RewardModel(blip_vit_large())
    freeze(model, fix_rate)
    assert model.backbone.frozen_blocks == frozen


@pytest.mark.parametrize("fix_rate", [0.0, 0.7])
@pytest.mark.parametrize("training", [False, True], ids=["without chance", "with dropout and drop path"])
def test_recomputing_blocks_changes_no_gradient(model, fix_rate, training):
    tokens, mask, images = batch(2, 3)
    freeze(model.train(training), fix_rate)
    model.blip.visual_encoder.blocks[-1].drop_path.rate = 0.5
    gradients, ran = [], []
    for recompute in (False, True):
        model.backbone.set_gradient_checkpointing(recompute)
        model.zero_grad()
        torch.manual_seed(5)
        handles = [
            block.register_forward_pre_hook(lambda *_: ran.append(recompute))  # noqa: B023
            for block in (model.blip.visual_encoder.blocks[-1], model.blip.text_encoder.encoder.layer[-1])
        ]
        model(tokens, mask, images).square().sum().backward()
        for handle in handles:
            handle.remove()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})

    assert (ran.count(False), ran.count(True)) == (2, 4)
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())
    assert any(gradient.abs().sum() > 0 for gradient in gradients[0].values())


def test_the_head_computes_in_float32_inside_half_precision(model):
    with torch.autocast("cpu", torch.bfloat16):
        rewards = model(*batch(2, 2))
    assert rewards.dtype == torch.float32


def test_at_the_published_start_all_rewards_are_nearly_equal(backbone):
    rewards = RewardModel(backbone).eval()(*batch(2, 3))
    assert rewards.std().item() < 1e-3


@pytest.mark.parametrize(
    ("fix_rate", "trainable"),
    [
        (0.0, 446_206_689),
        (0.1, 385_751_009),
        (0.3, 303_079_905),
        (0.5, 210_563_809),
        (0.7, 140_488_929),
        (0.9, 57_817_825),
        (1.0, 927_969),
    ],
)
def test_freezing_leaves_as_many_parameters_as_the_published_script(fix_rate, trainable):
    with torch.device("meta"):
        model = RewardModel(blip_vit_large())
    assert freeze(model, fix_rate).trainable == trainable


def test_the_boundary_layers_first_parameter_is_frozen_too_and_only_that():
    with torch.device("meta"):
        model = RewardModel(blip_vit_large())
    trained = set(freeze(model, 0.7).names)

    frozen = {name for name, _ in model.named_parameters()} - trained
    assert {name for name in frozen if ".blocks.16." in name} == {
        "blip.visual_encoder.blocks.16.norm1.weight"
    }
    assert {name for name in frozen if ".layer.8." in name} == {
        "blip.text_encoder.encoder.layer.8.attention.self.query.weight"
    }
    assert "blip.visual_encoder.norm.weight" in trained
    assert "blip.visual_encoder.blocks.15.mlp.fc2.bias" in frozen


def test_freezing_again_forgets_what_was_frozen_before(model):
    freeze(model, 1.0)
    report = freeze(model, 0.0)
    assert report.trainable == report.total


def test_a_rate_above_one_is_refused(model):
    with pytest.raises(ValueError, match="fix_rate"):
        freeze(model, 1.1)
