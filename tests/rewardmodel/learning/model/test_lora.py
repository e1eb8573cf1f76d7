"""Adapters: nothing changes when they are put in, and merged they are the plain model."""

import torch

from rewardmodel.learning.model.lora import AdaptedLinear, adapt, plain_weights
from rewardmodel.learning.model.reward import RewardModel, freeze

TOKENS, MASK = torch.tensor([[2, 6, 8, 3], [2, 7, 9, 3]]), torch.ones(2, 4, dtype=torch.int64)


def test_an_adapted_layer_adds_its_low_rank_change():
    layer = AdaptedLinear(torch.nn.Linear(3, 4), rank=2, alpha=6)
    torch.nn.init.normal_(layer.up)
    layer.requires_grad_(False)
    x = torch.randn(5, 3)
    expected = [
        [
            sum(
                (layer.weight[o, i] + 3 * sum(layer.up[o, r] * layer.down[r, i] for r in range(2))) * row[i]
                for i in range(3)
            )
            + layer.bias[o]
            for o in range(4)
        ]
        for row in x
    ]
    assert torch.allclose(layer(x), torch.tensor(expected), atol=1e-5)


def test_a_model_with_new_adapters_scores_as_before_and_a_merged_one_as_the_adapted(model, backbone):
    images = torch.randn(2, 3, 16, 16)
    plain = model.score(TOKENS, MASK, images)
    freeze(model, 0.0)
    adapt(model, rank=2, alpha=4.0)
    assert torch.allclose(model.score(TOKENS, MASK, images), plain, atol=1e-6)
    for layer in model.modules():
        if isinstance(layer, AdaptedLinear):
            torch.nn.init.normal_(layer.up, std=0.1)
    adapted = model.score(TOKENS, MASK, images)
    assert not torch.allclose(adapted, plain, rtol=1e-3)
    merged = RewardModel(backbone).eval()
    merged.load_state_dict(plain_weights(model))
    assert torch.allclose(merged.score(TOKENS, MASK, images), adapted, rtol=1e-4, atol=1e-4)


def test_layers_that_are_frozen_get_no_adapter_and_the_boundary_stays(model):
    freeze(model, 0.7)
    boundary = model.backbone.frozen_blocks
    adapt(model, rank=2, alpha=4.0)
    assert model.backbone.frozen_blocks == boundary == 2
    adapted = {name for name, layer in model.named_modules() if isinstance(layer, AdaptedLinear)}
    assert "blip.visual_encoder.blocks.2.mlp.fc1" in adapted
    assert not any(".blocks.1." in name or "layer.0." in name or name.startswith("mlp") for name in adapted)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        *(f"{name}.{part}" for name in adapted for part in ("down", "up")),
        *(f"mlp.{name}" for name, _ in model.mlp.named_parameters()),
    }
