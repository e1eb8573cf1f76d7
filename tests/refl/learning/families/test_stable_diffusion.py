"""Stable Diffusion: what its UNet is asked, its two kinds of prediction, and its images and latents."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from refl.learning.families.conditioning import TextConditioning
from refl.learning.families.stable_diffusion import StableDiffusion, add_noise, predict_x0, prediction_target
from tests.refl.learning.conftest import build_pipeline, rngs, some_noise

PROMPTS = ["a red page", "a green page", "a blue page"]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_predicted_x0_is_that_of_the_scheduler(kind):
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(10)
    noisy, output = some_noise(2), some_noise(2, seed=1)
    for timestep in scheduler.timesteps[[0, 5, 9]]:
        ours = predict_x0(noisy, output, scheduler.alphas_cumprod[timestep].expand(2), kind)
        theirs = scheduler.step(output, timestep, noisy).pred_original_sample
        torch.testing.assert_close(ours, theirs)


def test_a_prediction_type_it_does_not_know_is_refused():
    with pytest.raises(ValueError, match="sample"):
        predict_x0(some_noise(1), some_noise(1), torch.ones(1), "sample")


def test_the_velocity_is_that_of_diffusers():
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    latents, noise = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(1))
    timesteps = torch.tensor([0, 400, 999])
    ours = prediction_target(latents, noise, scheduler.alphas_cumprod[timesteps], "v_prediction")
    torch.testing.assert_close(ours, scheduler.get_velocity(latents, noise, timesteps))


def test_no_target_is_known_of_another_prediction_type():
    latents = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ValueError, match="sample"):
        prediction_target(latents, latents, torch.ones(1), "sample")


def test_noise_is_added_as_the_scheduler_adds_it():
    scheduler = DDPMScheduler()
    timesteps = torch.tensor([3, 700])
    ours = add_noise(some_noise(2), some_noise(2, seed=1), scheduler.alphas_cumprod[timesteps])
    torch.testing.assert_close(ours, scheduler.add_noise(some_noise(2), some_noise(2, seed=1), timesteps))


def test_guidance_asks_once_for_both_answers_and_goes_beyond_them(a_family, calls):
    text, latents, timestep = a_family.encode_prompts(PROMPTS), some_noise(3), torch.tensor([1, 1, 1])
    guided = a_family.predict(latents, timestep, text, guidance_scale=2.5)
    assert [size for size, _ in calls] == [6]
    with_prompt = a_family.predict(latents, timestep, text)
    without = a_family.predict(latents, timestep, a_family.unconditional.expand(3))
    torch.testing.assert_close(guided, without + 2.5 * (with_prompt - without))


def test_the_steps_of_a_guided_batch_are_on_the_unets_device():
    """A scheduler keeps its steps on the CPU; a UNet on a GPU fetches a single one from there, no batch."""
    latents = torch.empty(3, 4, 8, 8, device="meta")
    text = TextConditioning(torch.empty(3, 16, 16, device="meta"))
    devices = []

    class Watching(StableDiffusion):
        def denoise(self, latents, timesteps, text):
            devices.append((timesteps.device.type, timesteps.shape))
            return latents

    family = Watching(build_pipeline("epsilon"))
    family.unconditional = text[:1]
    family.predict(latents, torch.tensor(500), text, guidance_scale=2.5)
    assert devices == [("meta", (6,))]


def test_pictures_lie_between_0_and_1_and_latents_are_scaled_as_the_pipeline_does(a_family):
    images = a_family.decode(9 * some_noise(2))
    assert images.shape == (2, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1

    latents, vae = a_family.encode(torch.zeros(2, 3, 16, 16), rngs(2)), a_family.pipeline.vae
    drawn = vae.encode(torch.zeros(2, 3, 16, 16)).latent_dist.sample(rngs(2))
    torch.testing.assert_close(latents, drawn * vae.config.scaling_factor)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_the_noise_of_pretraining_is_that_of_every_sampler(a_family, sampler):
    alphas_cumprod = a_family.scheduler(sampler, 4).alphas_cumprod
    timesteps = torch.arange(len(alphas_cumprod))
    assert torch.equal(a_family.alpha_bar(timesteps), alphas_cumprod)
    assert a_family.random_timesteps(rngs(2000)).max() < len(alphas_cumprod)
