"""The two updates of ReFL's Algorithm 1, on one pipeline whose UNet alone is trained.

Letters: B samples of an update, C latent channels, h w latent pixels, H W image pixels, T tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from refl.learning.config import TuningConfig
from refl.learning.denoising import Denoiser, add_noise, decode, encode, encode_prompts, leaving_steps
from refl.learning.losses import pretraining_loss, reward_loss
from refl.learning.pairs import Pair, load_images

Reward = Callable[[list[str], Tensor], Tensor]

SCHEDULERS = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}


class BadReward(ValueError):
    """The reward gives what no generator can be tuned with: not one finite number with gradient an image."""


class Diverged(ValueError):
    """A gradient is not finite: the weights would be lost."""


class Tuner:
    """A pipeline being tuned: its UNet, the optimiser both updates share, and the averaged weights.

    All chance comes from the generator that each update is given; the UNet drops nothing out.
    """

    def __init__(self, config: TuningConfig, pipeline: Any) -> None:
        self.config, self.pipeline = config, pipeline
        pipeline.vae.requires_grad_(False)
        pipeline.text_encoder.requires_grad_(False)
        self.unet = pipeline.unet.requires_grad_(True)
        if config.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()
            pipeline.vae.enable_gradient_checkpointing()
        self.parameters = list(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
        )
        self.average = [weight.detach().clone() for weight in self.parameters] if config.ema else []
        scheduler = SCHEDULERS[config.sampler].from_config(
            pipeline.scheduler.config, clip_sample=False, thresholding=False
        )
        scheduler.set_timesteps(config.steps)
        empty = encode_prompts(pipeline, [""])  # (1, T, D)
        self.denoiser = Denoiser(self.unet, scheduler, empty, config.guidance_scale)

    def update_with_pairs(self, pairs: Sequence[Pair], chance: torch.Generator) -> tuple[float, float]:
        """The first update: denoise captioned images, as in pre-training.

        Returns: the loss, and the norm of the gradient of the weighted loss before clipping.
        Raises: BadPairs; Diverged.
        """
        b, weight, kind = len(pairs), self.config.pretraining_weight, self.denoiser.prediction_type
        images = load_images(pairs, self._image_size()).to(self.pipeline.device)  # (B, 3, H, W)
        latents = encode(self.pipeline.vae, images, chance)  # (B, C, h, w)
        left_out = torch.rand(b, generator=chance) < self.config.empty_prompts
        captions = ["" if out else pair.prompt for out, pair in zip(left_out, pairs, strict=True)]
        text = encode_prompts(self.pipeline, captions)  # (B, T, D)
        noise = torch.randn(latents.shape, generator=chance).to(latents)
        steps = self.denoiser.scheduler.config.num_train_timesteps
        timesteps = torch.randint(steps, (b,), generator=chance).to(latents.device)
        alpha_bar = self.denoiser.alpha_bar(timesteps)
        noisy = add_noise(latents, noise, alpha_bar)  # (B, C, h, w)
        total = 0.0
        for part in self._parts(b):
            output = self.unet(noisy[part], timesteps[part], text[part]).sample
            loss = pretraining_loss(
                output,
                latents=latents[part],
                noise=noise[part],
                alpha_bar=alpha_bar[part],
                prediction_type=kind,
            )
            total += self._backward(loss * (len(output) / b), weight)
        return total, self._descend()

    def update_with_reward(
        self, prompts: Sequence[str], reward: Reward, chance: torch.Generator
    ) -> tuple[float, float, float]:
        """The second update: denoise to a random late step, predict x_0 from there, and raise its reward.

        Returns: the mean reward, the loss, and the norm of the gradient of the weighted loss before clipping.
        Raises: BadReward; Diverged.
        """
        b, config = len(prompts), self.config
        text = encode_prompts(self.pipeline, list(prompts))  # (B, T, D)
        leave = leaving_steps(b, steps=config.steps, late_steps=config.late_steps, generator=chance)
        leave = leave.to(text.device)
        shape = (b, self.unet.config.in_channels, *self._latent_size())
        start = torch.randn(shape, generator=chance).to(text)  # (B, C, h, w)
        late = self.denoiser.until(leave, start, text, chance)
        mean = total = 0.0
        for part in self._parts(b):
            original = self.denoiser.original(leave[part], late[part], text[part])  # (B, C, h, w)
            images = decode(self.pipeline.vae, original)  # (B, 3, H, W)
            rewards = reward(list(prompts[part]), images)
            _check(rewards, count=len(images))
            loss = reward_loss(rewards, config.reward_ceiling)
            total += self._backward(loss * (len(images) / b), config.reward_weight)
            mean += rewards.detach().sum().item() / b
        return mean, total, self._descend()

    def follow(self) -> None:
        """Move the averaged weights, if there are any, towards the trained ones."""
        if self.average:
            torch._foreach_lerp_(self.average, [w.detach() for w in self.parameters], 1 - self.config.ema)

    @contextmanager
    def averaged(self) -> Iterator[Any]:
        """The pipeline with its averaged weights, or as it is when none are kept."""
        if not self.average:
            yield self.pipeline
            return
        trained = [weight.detach().clone() for weight in self.parameters]
        self._set_weights(self.average)
        try:
            yield self.pipeline
        finally:
            self._set_weights(trained)

    def state(self) -> dict[str, Any]:
        """All that the updates have changed."""
        return {
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [weight.to(self.pipeline.device) for weight in state["average"]]

    @torch.no_grad()
    def _set_weights(self, weights: list[Tensor]) -> None:
        torch._foreach_copy_(self.parameters, weights)

    def _backward(self, loss: Tensor, weight: float) -> float:
        """Add to the UNet's gradient, and to no other: a reward model's weights may ask for one."""
        torch.autograd.backward(weight * loss, inputs=self.parameters)
        return loss.item()

    def _descend(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip).item()
        if not math.isfinite(norm):
            raise Diverged(f"the gradient's norm is {norm}")
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _parts(self, count: int) -> list[slice]:
        size = self.config.microbatch_size or count
        return [slice(start, start + size) for start in range(0, count, size)]

    def _latent_size(self) -> tuple[int, int]:
        """(h, w)"""
        size = self.unet.config.sample_size
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def _image_size(self) -> tuple[int, int]:
        """(W, H)"""
        h, w = self._latent_size()
        return w * self.pipeline.vae_scale_factor, h * self.pipeline.vae_scale_factor


def _check(rewards: Tensor, *, count: int) -> None:
    if rewards.shape != (count,):
        raise BadReward(f"{count} images were given a reward of shape {tuple(rewards.shape)}")
    if not rewards.isfinite().all():
        raise BadReward(f"the reward is not finite: {rewards.tolist()}")
    if not rewards.requires_grad:
        raise BadReward("the reward has no gradient with respect to the images")
