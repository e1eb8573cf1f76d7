"""The rollout: which steps have a gradient, how often the denoiser is called, and what comes out."""

from collections import Counter

import pytest
import torch

from refl.learning.denoising import Rollout, draw_exit_steps
from refl.learning.families.loading import load_family
from tests.refl.learning.conftest import rngs, some_noise

PROMPTS = ["a red page", "a green page", "a blue page"]


def a_rollout(family, *, steps=8, guidance_scale=1.0, sampler="ddim"):
    return Rollout(family, family.scheduler(sampler, steps), guidance_scale)


def test_the_late_steps_are_counted_from_the_end_both_ends_included():
    exit_steps = draw_exit_steps(rngs(2000), steps=40, late_steps=(1, 10))
    counted = Counter(exit_steps.tolist())
    assert sorted(counted) == list(range(30, 40))
    assert min(counted.values()) > 140  # 200 expected


def test_one_rollout_serves_samples_that_leave_at_different_steps(a_family, calls):
    rollout, text = a_rollout(a_family), a_family.encode_prompts(PROMPTS)
    exit_steps = torch.tensor([7, 5, 6])
    late = rollout.denoise_to(exit_steps, some_noise(3), text, rngs(3))
    rollout.predict_x0(exit_steps, late, text)
    without_gradient = [(3, False)] * 5 + [(2, False), (1, False)]
    assert calls == [*without_gradient, (3, True)]


@pytest.mark.parametrize(("guidance_scale", "sampler"), [(1.0, "ddim"), (2.5, "ddpm")])
def test_a_sample_is_denoised_as_if_it_were_alone(a_family, guidance_scale, sampler):
    rollout = a_rollout(a_family, guidance_scale=guidance_scale, sampler=sampler)
    text, noise, exit_steps = a_family.encode_prompts(PROMPTS), some_noise(3), torch.tensor([7, 5, 6])
    together = rollout.predict_x0(exit_steps, rollout.denoise_to(exit_steps, noise, text, rngs(3)), text)
    for i in range(3):
        one = slice(i, i + 1)
        late = rollout.denoise_to(exit_steps[one], noise[one], text[one], rngs(3)[one])
        alone = rollout.predict_x0(exit_steps[one], late, text[one])
        torch.testing.assert_close(alone, together[one], rtol=1e-4, atol=1e-4)


def test_the_rollout_is_the_schedulers_own_loop(a_family):
    rollout, text = a_rollout(a_family), a_family.encode_prompts(PROMPTS[:1])
    latents = some_noise(1)
    with torch.no_grad():
        for timestep in rollout.scheduler.timesteps[:6]:
            output = a_family.denoiser(latents, timestep, text.embeddings).sample
            latents = rollout.scheduler.step(output, timestep, latents).prev_sample
    torch.testing.assert_close(rollout.denoise_to(torch.tensor([6]), some_noise(1), text, rngs(1)), latents)


def test_the_noise_of_ddpm_follows_from_the_generator(a_family):
    rollout, text = a_rollout(a_family, sampler="ddpm"), a_family.encode_prompts(PROMPTS)
    exit_steps = torch.tensor([7, 5, 6])
    first, again, other = (
        rollout.denoise_to(exit_steps, some_noise(3), text, rngs(3, seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_gradient_of_a_picture_reaches_every_weight_of_the_unet(pipeline_folders, kind):
    family = load_family(pipeline_folders[kind], device="cpu")
    rollout, text = a_rollout(family, guidance_scale=2.0), family.encode_prompts(PROMPTS)
    exit_steps = torch.tensor([7, 5, 6])
    late = rollout.denoise_to(exit_steps, some_noise(3), text, rngs(3))
    assert not late.requires_grad
    images = family.decode(rollout.predict_x0(exit_steps, late, text))
    images.mean().backward()
    assert all(weight.grad is not None for weight in family.denoiser.parameters())
