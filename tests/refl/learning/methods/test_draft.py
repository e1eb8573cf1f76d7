"""DRaFT: its gradient is that of the sampling chain, written out; what it costs, and what it moves."""

import dataclasses

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.methods import Batch
from refl.learning.methods.draft import DRaFT
from refl.learning.pairs import read_pairs
from refl.learning.tuner import Tuner
from tests.refl.learning.conftest import rngs, some_noise

PROMPTS = ["a red page", "a green page"]
CONFIG = TuningConfig(
    method="draft",
    steps=4,
    late_steps=(1, 2),
    sampler="ddim",
    batch_size=2,
    learning_rate=1e-3,
    reward_weight=1.0,
    guidance_scale=2.0,
)


def redness(prompts, images):
    return 4 * (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


@pytest.fixture
def a_method(pipeline_folder):
    def build(folder=pipeline_folder, **changes):
        config = dataclasses.replace(CONFIG, **changes)
        return DRaFT(Tuner(config, load_family(folder, device="cpu")), redness)

    return build


def chain_written_out(family, latents, text, timesteps, gradient_steps):
    """DDIM without noise, Song et al., arXiv 2010.02502, eq. 12 with sigma 0, on guided noise."""
    shares = family.noise.alphas_cumprod
    for index, t in enumerate(timesteps):
        if index == len(timesteps) - gradient_steps:
            latents = latents.detach()
        both = [
            family.pipeline.unet(latents, t, words).sample
            for words in (family.unconditional.expand(len(text)).embeddings, text.embeddings)
        ]
        noise = both[0] + 2.0 * (both[1] - both[0])
        now = shares[t]
        # The pipeline's scheduler says set_alpha_to_one=False: the end of the chain is the first timestep.
        after = shares[timesteps[index + 1]] if index + 1 < len(timesteps) else shares[0]
        clean = (latents - (1 - now).sqrt() * noise) / now.sqrt()
        latents = after.sqrt() * clean + (1 - after).sqrt() * noise
    return latents


@pytest.mark.parametrize("gradient_steps", [1, 2, 4])
def test_the_gradient_is_that_of_the_last_steps_of_the_chain_written_out(a_method, gradient_steps):
    method = a_method()
    family, weights = method.tuner.family, method.tuner.weights.parameters
    text, noise = family.encode_prompts(PROMPTS), some_noise(2)
    sampled = method.sample(noise, text, rngs(2), gradient_steps=torch.full((2,), gradient_steps))
    timesteps = method.rollout.scheduler.timesteps
    written_out = chain_written_out(family, noise, text, timesteps, gradient_steps)
    torch.testing.assert_close(sampled, written_out, rtol=1e-4, atol=1e-5)
    gradients = [
        torch.autograd.grad(redness(PROMPTS, family.decode(latents)).mean(), weights)
        for latents in (sampled, written_out)
    ]
    for own, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-3, atol=1e-6)


def test_earlier_steps_are_sampled_without_gradient_and_each_later_one_twice(a_method):
    method, calls = a_method(gradient_steps=3), []
    method.tuner.family.denoiser.register_forward_pre_hook(
        lambda module, args: calls.append(torch.is_grad_enabled())
    )
    method.reward_step(PROMPTS, rngs(2))
    assert calls == [False] + [True] * 3 + [True] * 3


def test_a_random_number_of_steps_has_a_gradient_where_it_is_asked_for(a_method):
    method, calls = a_method(random_gradient_steps=True, microbatch_size=1), []
    method.tuner.family.denoiser.register_forward_pre_hook(
        lambda module, args: calls.append(torch.is_grad_enabled())
    )
    counts = set()
    for seed in range(20):
        calls.clear()
        method.reward_step(PROMPTS[:1], rngs(1, seed))
        counts.add(sum(calls) // 2)
    assert counts == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_it_raises_the_reward(a_method, pipeline_folders, kind):
    method = a_method(pipeline_folders[kind])
    rewards = [method.reward_step(PROMPTS, rngs(2))[0] for _ in range(12)]
    assert rewards[-1] > rewards[0] + 0.2


def test_samples_of_a_batch_may_have_their_own_number_of_steps_with_a_gradient(a_method):
    method = a_method()
    family, weights = method.tuner.family, method.tuner.weights.parameters
    text, noise, counts = family.encode_prompts(PROMPTS), some_noise(2), torch.tensor([1, 3])

    def gradients(rows):
        latents = method.sample(noise[rows], text[rows], rngs(2)[rows], gradient_steps=counts[rows])
        return torch.autograd.grad(redness(PROMPTS[rows], family.decode(latents)).sum(), weights)

    for both, first, second in zip(*map(gradients, (slice(2), slice(1), slice(1, 2))), strict=True):
        torch.testing.assert_close(both, first + second, rtol=1e-3, atol=1e-5)


def test_microbatches_change_memory_but_not_the_step(a_method):
    whole, halves = (a_method(microbatch_size=size).reward_step(PROMPTS, rngs(2)) for size in (0, 1))
    assert halves == pytest.approx(whole, rel=1e-4)


def test_an_update_steps_on_the_pretraining_loss_too(a_method, pairs_folder):
    measured = a_method().update(Batch(PROMPTS, read_pairs(pairs_folder)[:2]), rngs(2))
    assert min(measured["pretraining_gradient"], measured["reward_gradient"]) > 0


def test_more_steps_with_a_gradient_than_there_are_steps_are_refused():
    with pytest.raises(ValueError, match=r"gradient_steps must lie within 0\.\.4"):
        dataclasses.replace(CONFIG, gradient_steps=5)
