"""The scales of rewards that nobody has normalised: measured once, when a run starts, and kept with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from refl.learning.families import Family
from refl.learning.pairs import Pair, load_images
from refl.learning.rewards import BadReward, Mixture, Reward, mean_and_deviation
from rewardmodel.learning.saving import write_whole

MOST, BATCH = 256, 16  # pre-training pictures that a reward is normalised on; and how many at once


def measure_scales(reward: Reward, pairs: Sequence[Pair], family: Family, file: Path) -> None:
    """Measure each part of a mixture whose scale nobody knows over the pre-training pictures, and store it.

    Nothing happens where there is no such part, or the file is there.

    Raises: BadPairs; BadReward, also where there are no pictures; NotSaved.
    """
    if not isinstance(reward, Mixture) or not reward.unscaled or file.exists():
        return
    if not pairs:
        names = ", ".join(repr(part.name) for part in reward.unscaled)
        raise BadReward(f"the reward {names} is normalised on pre-training pictures, and there are none")
    chosen = pairs[:: -(-len(pairs) // MOST)]
    scales = {
        part.name: mean_and_deviation(part.reward, _batches(chosen, family), name=part.title)
        for part in reward.unscaled
    }
    with write_whole(file) as partial:
        partial.write_text(json.dumps(scales, indent=2))


def with_scales(reward: Reward, file: Path) -> Reward:
    """Return the reward with the scales that `measure_scales` stored, if it stored any."""
    if not isinstance(reward, Mixture) or not reward.unscaled:
        return reward
    return reward.scaled({name: (mean, std) for name, (mean, std) in json.loads(file.read_text()).items()})


def _batches(pairs: Sequence[Pair], family: Family) -> Iterator[tuple[list[str], Tensor]]:
    """Yield prompts, and their images (B, 3, H, W) in 0..1."""
    for start in range(0, len(pairs), BATCH):
        part = pairs[start : start + BATCH]
        images = load_images(part, family.image_size).to(family.device)  # (B, 3, H, W) in -1..1
        yield [pair.prompt for pair in part], (images + 1) / 2
