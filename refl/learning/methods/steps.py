"""The two steps that methods are made of: one on captioned images, one on the reward of generated images.

Letters: B samples of an update, C latent channels, h w latent pixels, H W image pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from refl.learning.chance import Rng, rand, randn
from refl.learning.losses import pretraining_losses, reward_losses
from refl.learning.pairs import Pair, load_images
from refl.learning.rewards import Reward, score
from refl.learning.tuner import Tuner


def pretraining_step(tuner: Tuner, pairs: Sequence[Pair], rng: Rng) -> tuple[float, float | None]:
    """Denoise captioned images, as in pre-training, and step.

    Returns: the loss, and the norm of the gradient of the weighted loss before clipping (see `Tuner.step`).
    Raises: BadPairs; Diverged.
    """
    means = tuner.accumulate(
        len(pairs),
        lambda part: {"loss": denoising_losses(tuner, pairs[part], rng[part])},
        weight=tuner.config.pretraining_weight,
    )
    return means["loss"], tuner.step()


def denoising_losses(tuner: Tuner, pairs: Sequence[Pair], rng: Rng) -> Tensor:
    """Return the pre-training loss of each captioned image, at a random timestep, times its weight. (B,)

    Raises: BadPairs.
    """
    config, family = tuner.config, tuner.family
    images = load_images(pairs, family.image_size).to(family.device)  # (B, 3, H, W)
    latents = family.encode(images, rng)  # (B, C, h, w)
    is_left_out = rand(rng) < config.empty_prompts  # (B,)
    prompts = ["" if out else pair.prompt for out, pair in zip(is_left_out, pairs, strict=True)]
    text = tuner.encode_prompts(prompts)  # (B, T, D)
    noise = randn(latents.shape[1:], rng).to(latents)  # (B, C, h, w)
    timesteps = family.random_timesteps(rng)  # (B,)
    output = family.predict(family.add_noise(latents, noise, timesteps), timesteps, text)  # (B, C, h, w)
    losses = pretraining_losses(output, family.training_target(latents, noise, timesteps))  # (B,)
    return losses * torch.tensor([pair.weight for pair in pairs], device=losses.device)


def reward_step(
    tuner: Tuner, reward: Reward, prompts: Sequence[str], clean_latents: Callable[[slice], Tensor]
) -> tuple[float, float, float | None]:
    """Raise the reward of generated images, and step.

    Args: clean_latents: makes those of a microbatch, (b, C, h, w), with gradient.
    Returns: the mean reward, the loss, and the norm of the gradient of the weighted loss before clipping (see
        `Tuner.step`).
    Raises: BadReward; Diverged.
    """

    def measure(part: slice) -> Mapping[str, Tensor]:
        images = tuner.family.decode(clean_latents(part))  # (b, 3, H, W)
        rewards = score(reward, list(prompts[part]), images)  # (b,)
        return {"reward": rewards, "loss": reward_losses(rewards, tuner.config.reward_ceiling)}

    means = tuner.accumulate(len(prompts), measure, weight=tuner.config.reward_weight)
    return means["reward"], means["loss"], tuner.step()
