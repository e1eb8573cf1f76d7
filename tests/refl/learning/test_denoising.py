"""The rollout: which steps have a gradient, how often the UNet is called, and what comes out."""

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from refl.learning.denoising import (
    Denoiser,
    add_noise,
    decode,
    encode,
    encode_prompts,
    leaving_steps,
    predict_original,
)
from refl.learning.sampling import load_pipeline

PROMPTS = ["a red page", "a green page", "a blue page"]


def a_denoiser(pipeline, *, steps=8, guidance_scale=1.0, kind=DDIMScheduler):
    scheduler = kind.from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(steps)
    return Denoiser(pipeline.unet, scheduler, encode_prompts(pipeline, [""]), guidance_scale)


def some_noise(count, seed=0):
    return torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def calls(a_pipeline):
    """The batch sizes of the UNet's calls, in order, and whether each had a gradient."""
    seen = []
    a_pipeline.unet.register_forward_pre_hook(
        lambda module, args: seen.append((len(args[0]), torch.is_grad_enabled()))
    )
    return seen


def test_the_late_steps_are_counted_from_the_end_both_ends_included():
    leave = leaving_steps(2000, steps=40, late_steps=(1, 10), generator=chance())
    counted = Counter(leave.tolist())
    assert sorted(counted) == list(range(30, 40))
    assert min(counted.values()) > 140  # 200 expected


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_predicted_original_is_that_of_the_scheduler(kind):
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(10)
    noisy, output = some_noise(2), some_noise(2, seed=1)
    for timestep in scheduler.timesteps[[0, 5, 9]]:
        ours = predict_original(noisy, output, scheduler.alphas_cumprod[timestep].expand(2), kind)
        theirs = scheduler.step(output, timestep, noisy).pred_original_sample
        torch.testing.assert_close(ours, theirs)


def test_a_prediction_type_it_does_not_know_is_refused():
    with pytest.raises(ValueError, match="sample"):
        predict_original(some_noise(1), some_noise(1), torch.ones(1), "sample")


def test_noise_is_added_as_the_scheduler_adds_it():
    scheduler = DDPMScheduler()
    timesteps = torch.tensor([3, 700])
    ours = add_noise(some_noise(2), some_noise(2, seed=1), scheduler.alphas_cumprod[timesteps])
    torch.testing.assert_close(ours, scheduler.add_noise(some_noise(2), some_noise(2, seed=1), timesteps))


def test_one_rollout_serves_samples_that_leave_at_different_steps(a_pipeline, calls):
    denoiser, text = a_denoiser(a_pipeline), encode_prompts(a_pipeline, PROMPTS)
    leave = torch.tensor([7, 5, 6])
    late = denoiser.until(leave, some_noise(3), text, chance())
    denoiser.original(leave, late, text)
    without_gradient = [(3, False)] * 5 + [(2, False), (1, False)]
    assert calls == [*without_gradient, (3, True)]


@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_a_sample_is_denoised_as_if_it_were_alone(a_pipeline, guidance_scale):
    denoiser = a_denoiser(a_pipeline, guidance_scale=guidance_scale)
    text, noise, leave = encode_prompts(a_pipeline, PROMPTS), some_noise(3), torch.tensor([7, 5, 6])
    together = denoiser.original(leave, denoiser.until(leave, noise, text, chance()), text)
    for i in range(3):
        one = slice(i, i + 1)
        late = denoiser.until(leave[one], noise[one], text[one], chance())
        torch.testing.assert_close(denoiser.original(leave[one], late, text[one]), together[one])


def test_the_rollout_is_the_schedulers_own_loop(a_pipeline):
    denoiser, text = a_denoiser(a_pipeline), encode_prompts(a_pipeline, PROMPTS[:1])
    latents = some_noise(1)
    with torch.no_grad():
        for timestep in denoiser.scheduler.timesteps[:6]:
            output = a_pipeline.unet(latents, timestep, text).sample
            latents = denoiser.scheduler.step(output, timestep, latents).prev_sample
    torch.testing.assert_close(denoiser.until(torch.tensor([6]), some_noise(1), text, chance()), latents)


def test_the_noise_of_ddpm_follows_from_the_generator(a_pipeline):
    denoiser, text = a_denoiser(a_pipeline, kind=DDPMScheduler), encode_prompts(a_pipeline, PROMPTS)
    leave = torch.tensor([7, 5, 6])
    first, again, other = (denoiser.until(leave, some_noise(3), text, chance(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_guidance_asks_once_for_both_answers_and_goes_beyond_them(a_pipeline, calls):
    text, latents, timestep = encode_prompts(a_pipeline, PROMPTS), some_noise(3), torch.tensor([1, 1, 1])
    guided = a_denoiser(a_pipeline, guidance_scale=2.5).output(latents, timestep, text)
    assert [size for size, _ in calls] == [6]
    plain = a_denoiser(a_pipeline)
    with_prompt = plain.output(latents, timestep, text)
    without = plain.output(latents, timestep, plain.empty.expand(3, -1, -1))
    torch.testing.assert_close(guided, without + 2.5 * (with_prompt - without))


def test_the_steps_of_a_guided_batch_are_on_the_unets_device():
    """A scheduler keeps its steps on the CPU; a UNet on a GPU fetches a single one from there, no batch."""
    latents, text = torch.empty(3, 4, 8, 8, device="meta"), torch.empty(3, 16, 16, device="meta")
    devices = []

    def unet(latents, timesteps, text):
        devices.append((timesteps.device.type, timesteps.shape))
        return SimpleNamespace(sample=latents)

    Denoiser(unet, DDIMScheduler(), text[:1], guidance_scale=2.5).output(latents, torch.tensor(500), text)
    assert devices == [("meta", (6,))]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_gradient_of_a_picture_reaches_every_weight_of_the_unet(pipeline_folders, kind):
    pipeline = load_pipeline(pipeline_folders[kind], device="cpu")
    denoiser, text = a_denoiser(pipeline, guidance_scale=2.0), encode_prompts(pipeline, PROMPTS)
    leave = torch.tensor([7, 5, 6])
    late = denoiser.until(leave, some_noise(3), text, chance())
    assert not late.requires_grad
    images = decode(pipeline.vae, denoiser.original(leave, late, text))
    images.mean().backward()
    assert all(weight.grad is not None for weight in pipeline.unet.parameters())


def test_pictures_lie_between_0_and_1_and_latents_are_scaled_as_the_pipeline_does(a_pipeline):
    images = decode(a_pipeline.vae, 9 * some_noise(2))
    assert images.shape == (2, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1

    latents = encode(a_pipeline.vae, torch.zeros(2, 3, 16, 16), chance())
    drawn = a_pipeline.vae.encode(torch.zeros(2, 3, 16, 16)).latent_dist.sample(chance())
    torch.testing.assert_close(latents, drawn * a_pipeline.vae.config.scaling_factor)
