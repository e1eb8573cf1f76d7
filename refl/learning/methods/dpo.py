"""Diffusion-DPO: Wallace et al., arXiv 2311.12908. Learning from what people preferred, with no reward.

Letters: b samples of a microbatch, C latent channels, h w latent pixels, H W image pixels, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from refl.learning.chance import Rng, randn
from refl.learning.losses import preference_losses, pretraining_losses
from refl.learning.methods import Batch, Method
from refl.learning.pairs import Pair, Preference, load_images
from refl.learning.rewards import Reward
from refl.learning.tuner import Tuner
from refl.learning.weights import Reference


class DiffusionDPO(Method):
    """The denoiser learns to gain more on preferred images than on rejected ones, over a frozen reference.

    The reference is the generator that the stage starts from, as it is when this is made.
    """

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        self.tuner, self.reference = tuner, Reference(tuner.weights)

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Step on the preference loss.

        Returns: the loss; the share of pairs on whose preferred image the denoiser gains more; and the norm
            of the gradient before clipping.
        Raises: BadPairs; Diverged.
        """

        def measure(part: slice) -> Mapping[str, Tensor]:
            return self.measure(batch.preferences[part], rng[part])

        means = self.tuner.accumulate(len(batch.preferences), measure)
        return {
            "preference_loss": means["loss"],
            "preference_accuracy": means["accuracy"],
            "preference_gradient": self.tuner.step(),
        }

    def measure(self, preferences: Sequence[Preference], rng: Rng) -> Mapping[str, Tensor]:
        """Denoise both images of each pair from the same noise at the same timestep. (b,) each

        The shared noise is the released code's; it leaves only what tells the images apart.
        """
        tuner, family = self.tuner, self.tuner.family
        files = [each.chosen for each in preferences] + [each.rejected for each in preferences]
        prompts = [each.prompt for each in preferences] * 2
        pairs = [Pair(file, prompt) for file, prompt in zip(files, prompts, strict=True)]
        images = load_images(pairs, family.image_size).to(family.device)  # (2b, 3, H, W)
        latents = family.encode(images, rng * 2)  # (2b, C, h, w)
        text = tuner.encode_prompts(prompts)  # (2b, T, D)
        noise = randn(latents.shape[1:], rng).to(latents).repeat(2, 1, 1, 1)  # (2b, C, h, w)
        timesteps = family.random_timesteps(rng).repeat(2)  # (2b,)
        noisy = family.add_noise(latents, noise, timesteps)  # (2b, C, h, w)
        target = family.training_target(latents, noise, timesteps)  # (2b, C, h, w)
        with self.reference.restored():
            reference = pretraining_losses(family.predict(noisy, timesteps, text), target)  # (2b,)
        errors = pretraining_losses(family.predict(noisy, timesteps, text), target)  # (2b,)
        chosen, rejected = (errors - reference).chunk(2)  # (b,) each: how much worse than the reference
        return {
            "loss": preference_losses(chosen, rejected, tuner.config.beta),
            "accuracy": (chosen < rejected).float(),
        }
