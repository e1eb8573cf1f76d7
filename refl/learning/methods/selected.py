"""Reward-selected training: the reward chooses or weighs pictures for the pre-training step.

The baselines that ImageReward compares ReFL with: filtering the data by the reward, weighting the loss by it,
and RAFT, which trains on the best of the generator's own samples. None needs the reward's gradient.

Letters: b samples of a microbatch, K candidates of a prompt, H W image pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from refl.learning.chance import Rng
from refl.learning.methods import Batch, Materials, Method
from refl.learning.methods.steps import pretraining_step
from refl.learning.pairs import Pair, load_images
from refl.learning.rewards import Reward, score
from refl.learning.sampling import sample
from refl.learning.tuner import Tuner
from rewardmodel.learning.saving import write_whole


class Selected(Method):
    """The pre-training step alone, on pairs that the reward selects before the first update."""

    def __init__(self, tuner: Tuner, reward: Reward) -> None:
        self.tuner, self.reward = tuner, reward

    def prepare(self, materials: Materials, folder: Path) -> Materials:
        """Select or weigh the pairs, or put the best samples in their place. Raises: BadPairs; BadReward."""
        if self.tuner.config.selection == "raft":
            return replace(materials, pairs=self.best_samples(materials.prompts, folder))
        if "reward" not in self.tuner.config.needs:
            return materials
        pairs, rewards = materials.pairs, self.rewards_of(materials.pairs, folder / "rewards.json")
        if self.tuner.config.selection == "filter":
            return replace(materials, pairs=[pairs[i] for i in best(rewards, self.tuner.config.keep_share)])
        weighted = [replace(pair, weight=w) for pair, w in zip(pairs, weights_of(rewards), strict=True)]
        return replace(materials, pairs=weighted)

    def update(self, batch: Batch, rng: Rng) -> dict[str, float | None]:
        """Step on the pre-training loss of selected pairs. Raises: BadPairs; Diverged.

        Returns: the loss, and the norm of its gradient before clipping.
        """
        loss, gradient = pretraining_step(self.tuner, batch.pairs, rng)
        return {"pretraining_loss": loss, "pretraining_gradient": gradient}

    def rewards_of(self, pairs: Sequence[Pair], file: Path) -> list[float]:
        """Score the pairs' images, at the generator's size, or read the rewards that the file has."""
        group, family = self.tuner.process_group, self.tuner.family

        def rewards_of(part: slice) -> Tensor:
            images = load_images(pairs[part], family.image_size).to(family.device)  # (b, 3, H, W) in -1..1
            return score(self.reward, [pair.prompt for pair in pairs[part]], images / 2 + 0.5)

        if not group.broadcast(file.exists()):
            rewards = self.tuner.map_samples(len(pairs), rewards_of)
            with group.error_barrier():
                if group.is_main_process:
                    with write_whole(file) as partial:
                        partial.write_text(json.dumps(rewards.tolist()))
        stored: list[float] = json.loads(file.read_text())
        return stored

    def best_samples(self, prompts: Sequence[str], folder: Path) -> list[Pair]:
        """Sample each prompt `candidates` times, as users sample, and keep the image of the highest reward.

        An image that the folder has already is not made again.

        Source: RAFT, Dong et al., arXiv 2304.06767, Algorithm 1, one iteration: its steps 1 and 2.
        """
        pairs = {number: Pair(folder / f"{number:06}.png", prompt) for number, prompt in enumerate(prompts)}
        missing = [number for number, pair in pairs.items() if not pair.file.exists()]
        missing = self.tuner.process_group.broadcast(missing)
        if missing:
            self.tuner.map_samples(
                len(missing),
                lambda part: self.sample_best({number: pairs[number] for number in missing[part]}),
            )
        return list(pairs.values())

    def sample_best(self, pairs: Mapping[int, Pair]) -> Tensor:
        """Make these pairs' images; seeds follow from their numbers. Returns: the best rewards. (b,)"""
        config, family = self.tuner.config, self.tuner.family
        k, highest = config.candidates, []
        for number, pair in pairs.items():
            seeds = np.random.default_rng((config.seed, number)).integers(2**31, size=k).tolist()
            images = sample(  # each prompt by itself: rounding follows from what shares a batch
                family,
                [pair.prompt] * k,
                seeds,
                steps=config.sample_steps,
                guidance_scale=config.sample_guidance,
                batch_size=config.microbatch_size or config.batch_size,
            )
            drawn = list(images)
            pixels = torch.from_numpy(np.stack([np.asarray(image) for image in drawn]))  # (K, H, W, 3) uint8
            fractions = pixels.to(family.device).permute(0, 3, 1, 2) / 255  # (K, 3, H, W) in 0..1
            rewards = score(self.reward, [pair.prompt] * k, fractions)  # (K,)
            with write_whole(pair.file) as partial:
                drawn[int(rewards.argmax())].save(partial, "PNG")
            highest.append(rewards.max())
        return torch.stack(highest)


def best(rewards: Sequence[float], share: float) -> list[int]:
    """Return the places of the highest rewards, in order: `share` of all, 1 at least.

    Source: data set filtering, Wu et al., arXiv 2303.14420; a baseline in ImageReward, arXiv 2304.05977, E.
    """
    highest = sorted(range(len(rewards)), key=lambda i: -rewards[i])
    return sorted(highest[: max(1, round(share * len(rewards)))])


def weights_of(rewards: Sequence[float]) -> list[float]:
    """Return (reward - lowest) / (highest - lowest), in 0..1; all 1 where all are equal.

    Source: Lee et al., arXiv 2302.12192, eq. 4, rewards scaled as in ImageReward, arXiv 2304.05977, E.
    """
    lowest, highest = min(rewards), max(rewards)
    return [(reward - lowest) / (highest - lowest) if highest > lowest else 1.0 for reward in rewards]
