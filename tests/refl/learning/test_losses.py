"""The two losses, each against its sum written out."""

import math

import pytest
import torch

from refl.learning.families.stable_diffusion import prediction_target
from refl.learning.losses import pretraining_losses, reward_losses


def test_the_reward_loss_is_the_mean_shortfall_from_the_ceiling():
    rewards = [-1.5, 0.0, 1.9, 2.0, 3.5]
    written_out = sum(max(0.0, 2.0 - r) for r in rewards) / len(rewards)
    assert reward_losses(torch.tensor(rewards), 2.0).mean().item() == pytest.approx(written_out)


def test_an_image_above_the_ceiling_is_not_pushed_on():
    rewards = torch.tensor([1.0, 2.5], requires_grad=True)
    reward_losses(rewards, 2.0).mean().backward()
    assert rewards.grad.tolist() == [-0.5, 0.0]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_pretraining_loss_is_the_mean_squared_error_of_what_the_unet_should_answer(kind):
    generator = torch.Generator().manual_seed(0)
    output, latents, noise = torch.randn(3, 2, 1, 2, 2, generator=generator)
    alpha_bar = torch.tensor([0.9, 0.2])
    losses = pretraining_losses(output, prediction_target(latents, noise, alpha_bar, kind))

    for sample in range(2):
        squares = []
        share = alpha_bar[sample].item()
        rows = zip(output[sample].flatten(), latents[sample].flatten(), noise[sample].flatten(), strict=True)
        for said, clean, added in rows:
            velocity = math.sqrt(share) * added.item() - math.sqrt(1 - share) * clean.item()
            wanted = added.item() if kind == "epsilon" else velocity
            squares.append((said.item() - wanted) ** 2)
        assert losses[sample].item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)
