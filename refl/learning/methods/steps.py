"""The two steps that methods are made of: one on captioned images, one on the reward of generated images.

Letters: B samples of an update, C latent channels, h w latent pixels, H W image pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from refl.learning.losses import pretraining_loss, reward_loss
from refl.learning.pairs import Pair, load_images
from refl.learning.rewards import Reward, score
from refl.learning.tuner import Tuner


def pretraining_step(tuner: Tuner, pairs: Sequence[Pair], rng: torch.Generator) -> tuple[float, float]:
    """Denoise captioned images, as in pre-training, and step.

    Returns: the loss, and the norm of the gradient of the weighted loss before clipping.
    Raises: BadPairs; Diverged.
    """
    b, config, family = len(pairs), tuner.config, tuner.family
    images = load_images(pairs, family.image_size).to(family.device)  # (B, 3, H, W)
    latents = family.encode(images, rng)  # (B, C, h, w)
    is_left_out = torch.rand(b, generator=rng) < config.empty_prompts  # (B,)
    captions = ["" if out else pair.prompt for out, pair in zip(is_left_out, pairs, strict=True)]
    text = family.encode_prompts(captions)  # (B, T, D)
    noise = torch.randn(latents.shape, generator=rng).to(latents)
    timesteps = family.random_timesteps(b, rng)  # (B,)
    noisy = family.add_noise(latents, noise, timesteps)  # (B, C, h, w)

    total = 0.0
    for part in tuner.microbatches(b):
        output = family.predict(noisy[part], timesteps[part], text[part])  # (B, C, h, w)
        target = family.training_target(latents[part], noise[part], timesteps[part])
        loss = pretraining_loss(output, target)
        total += tuner.backward(loss * (len(output) / b), config.pretraining_weight)
    return total, tuner.step()


def reward_step(
    tuner: Tuner, reward: Reward, prompts: Sequence[str], clean_latents: Callable[[slice], Tensor]
) -> tuple[float, float, float]:
    """Raise the reward of generated images, and step.

    Args: clean_latents: gives those of a microbatch, (B, C, h, w), with gradient.
    Returns: the mean reward, the loss, and the norm of the gradient of the weighted loss before clipping.
    Raises: BadReward; Diverged.
    """
    b, config = len(prompts), tuner.config
    mean = total = 0.0
    for part in tuner.microbatches(b):
        images = tuner.family.decode(clean_latents(part))  # (B, 3, H, W)
        rewards = score(reward, list(prompts[part]), images)  # (B,)
        loss = reward_loss(rewards, config.reward_ceiling)
        total += tuner.backward(loss * (len(images) / b), config.reward_weight)
        mean += rewards.detach().sum().item() / b
    return mean, total, tuner.step()
