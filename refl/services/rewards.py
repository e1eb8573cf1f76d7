"""Load what a run is tuned on, or judged by, from its names. Torch comes with the first call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from django.conf import settings

from refl.models import TuningRun
from refl.selectors.rewards import RewardSource, held_out_rewards, rewards_of
from rewardmodel.learning.addresses import BASELINES
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.execution import PermanentFailure
from rewardmodel.scoring import scorer

if TYPE_CHECKING:
    from refl.learning.rewards import Mixture, Part, Reward
    from rewardmodel.learning.scoring import Scorer

Load = Callable[[RewardCheckpoint], "Scorer"]


class CannotLoadReward(PermanentFailure):
    """A function that is a reward cannot be imported, or is none; the message says which and why."""


def load_mixture(run: TuningRun) -> Mixture:
    """Load what the run is tuned on; each reward model is read once, however many of its heads take part.

    Raises: NoSuchReward; CheckpointError; CannotLoadReward.
    """
    from refl.learning.rewards import Mixture

    load = cache(scorer)
    return Mixture([_load(source, weight, load) for source, weight in rewards_of(run).items()])


def load_held_out(run: TuningRun) -> dict[str, Reward]:
    """Load up to two rewards that the run is not tuned on, by name. Raises: CheckpointError.

    Normalised, but for heads of checkpoints that do not know their scale.
    """
    load = cache(scorer)
    parts = [_load(source, 1.0, load) for source in held_out_rewards(run)]
    return {part.name: replace(part, scale=part.scale or (0.0, 1.0)) for part in parts}


def _load(source: RewardSource, weight: float, load: Load) -> Part:
    from refl.learning.rewards import Part
    from rewardmodel.learning import load_score

    if source.checkpoint is not None and source.head:
        model = load(source.checkpoint)
        is_normalised = model.aspect_scale(source.head) is not None
        score = partial(model.score_aspect, source.head)
        return Part(source.name, score, weight, scale=(0.0, 1.0) if is_normalised else None)
    if source.checkpoint is not None:
        return Part(source.name, load(source.checkpoint).score_tensor, weight)
    if source.name in BASELINES:
        published = load_score(source.name, download_root=settings.BASELINES_DIR)
        return Part(source.name, published.score_tensor, weight, scale=None)
    return Part(source.name, _function(source.name), weight, scale=None)


def _function(name: str) -> Reward:
    """Import a user's function. Raises: CannotLoadReward."""
    try:
        function: Reward = resolve_name(name)
    except Exception as error:  # whatever the user's module raises
        raise CannotLoadReward(f"rewards: {name}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise CannotLoadReward(f"rewards: {name} is no function")
    return function
