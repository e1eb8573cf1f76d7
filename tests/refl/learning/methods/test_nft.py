"""DiffusionNFT: its two formulas written out, what it samples with, and what it learns."""

import dataclasses

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.losses import implicit_policy_losses, optimality
from refl.learning.methods import Batch
from refl.learning.methods.nft import DiffusionNFT
from refl.learning.tuner import Tuner
from tests.refl.learning.conftest import rng, rngs

PROMPTS = ["a red page", "a green page"]
CONFIG = TuningConfig(
    method="nft",
    steps=3,
    late_steps=(1, 2),
    sampler="ddim",
    batch_size=2,
    microbatch_size=0,
    candidates=4,
    learning_rate=5e-3,
    ema=0.5,
)


def redness(prompts, images):
    """A black box: it has no gradient."""
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2)).detach()


@pytest.fixture
def a_method(pipeline_folder):
    def build(reward=redness, **changes):
        config = dataclasses.replace(CONFIG, **changes)
        return DiffusionNFT(Tuner(config, load_family(pipeline_folder, device="cpu")), reward)

    return build


def test_optimality_is_the_published_formula():
    centred = [[-0.4, 0.1, 0.3], [2.0, -1.0, -1.0]]
    written_out = [[0.5 + 0.5 * min(max(value / 0.5, -1), 1) for value in row] for row in centred]
    assert optimality(torch.tensor(centred), 0.5).tolist() == [pytest.approx(row) for row in written_out]
    assert optimality(torch.zeros(1, 2), 0.0).tolist() == [[0.5, 0.5]]


def test_the_loss_is_the_published_formula():
    new, old, target = torch.randn(3, 2, 1, 2, 2, generator=rng())
    shares, beta = [0.8, 0.3], 0.7
    losses = implicit_policy_losses(new, old, target, torch.tensor(shares), beta)
    for sample, r in enumerate(shares):
        total = 0.0
        for n, o, t in zip(*(each[sample].flatten().tolist() for each in (new, old, target)), strict=True):
            positive, negative = (1 - beta) * o + beta * n, (1 + beta) * o - beta * n
            total += (r * (positive - t) ** 2 + (1 - r) * (negative - t) ** 2) / 4
        assert losses[sample].item() == pytest.approx(total, rel=1e-5)


def test_good_samples_pull_and_bad_ones_push():
    old, target = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    new = old.clone().requires_grad_()
    implicit_policy_losses(new, old, target, torch.tensor([1.0, 0.0]), 1.0).sum().backward()
    assert new.grad.flatten().tolist() == [-2.0, 2.0]


def test_samples_are_the_old_policys(a_method):
    """That of the averaged weights: after a step the trained ones are elsewhere, and the samples the same."""
    method = a_method()
    before, _ = method.sample(PROMPTS, rngs(2, 5))
    method.update(Batch(prompts=PROMPTS), rngs(2))
    after, _ = method.sample(PROMPTS, rngs(2, 5))
    assert torch.equal(before, after)
    method.tuner.update_average()
    moved, _ = method.sample(PROMPTS, rngs(2, 5))
    assert not torch.equal(before, moved)


def test_it_raises_a_reward_without_a_gradient(a_method):
    method, rewards = a_method(), []
    for update in range(12):
        rewards.append(method.update(Batch(prompts=PROMPTS), rngs(2, update))["reward"])
        method.tuner.update_average()
    assert sum(rewards[-4:]) > sum(rewards[:4])


def test_microbatches_change_no_number(a_method):
    whole, halves = (
        a_method(microbatch_size=size).update(Batch(prompts=PROMPTS), rngs(2)) for size in (0, 1)
    )
    assert halves == pytest.approx(whole, rel=1e-4)


def test_no_more_samples_are_in_memory_than_a_microbatch_holds(a_method):
    """Those of one prompt are several."""
    method, sizes = a_method(microbatch_size=3), []
    method.tuner.family.denoiser.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    method.update(Batch(prompts=PROMPTS), rngs(2))
    assert max(sizes) == 3


def test_a_process_without_a_share_of_the_batch_samples_nothing(a_method):
    latents, rewards = a_method().sample_in_parts([], [])
    assert (latents.shape, rewards.shape) == ((0, 4, 8, 8), (0,))


def test_it_is_refused_without_averaged_weights():
    with pytest.raises(ValueError, match="nft needs ema"):
        dataclasses.replace(CONFIG, ema=0.0)
