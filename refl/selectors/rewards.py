"""What a run's rewards are, by their names; and which may judge its generator, not being among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.conf import settings

from annotation.models import Project
from refl.models import TuningRun
from rewardmodel.learning.addresses import BASELINES
from rewardmodel.learning.errors import PermanentError
from rewardmodel.learning.model.aspects import ARTIFACTS, ASPECTS
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selectors import checkpoint_aspects

OWN = "checkpoint"  # what a run's own reward model is called before the run has one


class NoSuchReward(PermanentError):
    """A mixture names what is no reward; the message names the field and says what there is."""


@dataclass(frozen=True)
class RewardSource:
    """What a name in a mixture stands for: a checkpoint, one of its heads, a published scorer or a function.

    Attributes:
        checkpoint: None for the last two, which are found by their name.
        head: of the checkpoint; "" for its reward.
    """

    name: str
    checkpoint: RewardCheckpoint | None = None
    head: str = ""


def find_reward(project: Project, name: str, *, own: RewardCheckpoint | None) -> RewardSource:
    """Return what a name in `TuningConfig.rewards` stands for.

    Args: own: the run's reward model, which may be called `checkpoint` as well.
    Raises: NoSuchReward.
    """
    models = project.reward_checkpoints.select_related("run")
    model, _, head = (name, "", "") if models.filter(name=name).exists() else name.partition(":")
    checkpoint = own if model == OWN else models.filter(name=model).first()
    if checkpoint is not None and head in ("", *ASPECTS):
        if head and head not in checkpoint_aspects(checkpoint):
            raise NoSuchReward(
                f'rewards: {checkpoint} has no head for {head}: train one with aspects=["{head}"]'
            )
        return RewardSource(f"{checkpoint}:{head}" if head else str(checkpoint), checkpoint, head)
    if name in BASELINES or name in settings.REWARD_FUNCTIONS:
        return RewardSource(name)
    if head and checkpoint is None:
        raise NoSuchReward(
            f"rewards: {name!r} is no head of a reward model of {project.slug}, "
            "and no function that the setting REWARD_FUNCTIONS allows"
        )
    if head:
        raise NoSuchReward(f"rewards: {checkpoint} has no head {head!r}; there may be {', '.join(ASPECTS)}")
    raise NoSuchReward(
        f"rewards: {project.slug} has no reward model {name!r}, and it is none of {', '.join(BASELINES)}"
    )


def named_checkpoint(project: Project, rewards: Mapping[str, float]) -> RewardCheckpoint | None:
    """Return the first reward model that the mixture calls by its name, to be the run's own.

    None where there is none such, or the mixture speaks of the run's own already.
    """
    if any(name.partition(":")[0] == OWN for name in rewards):
        return None
    models = {each.name: each for each in project.reward_checkpoints.all()}
    named = (models.get(name) or models.get(name.partition(":")[0]) for name in rewards)
    return next((model for model in named if model is not None), None)


def check_rewards(project: Project, rewards: Mapping[str, float]) -> None:
    """Refuse names that no run could have, before there is a run whose own reward model is known.

    Raises: NoSuchReward.
    """
    for name in rewards:
        model, _, head = name.partition(":")
        if model != OWN:
            find_reward(project, name, own=None)
        elif head not in ("", *ASPECTS):
            raise NoSuchReward(f"rewards: no head {head!r}; there may be {', '.join(ASPECTS)}")


def resolve_rewards(
    project: Project, rewards: Mapping[str, float], *, own: RewardCheckpoint
) -> dict[str, float]:
    """Return the mixture under the names that it has in a run: `checkpoint` is the run's reward model.

    Raises: NoSuchReward, also where two names are of one reward.
    """
    resolved: dict[str, float] = {}
    for name, weight in rewards.items():
        source = find_reward(project, name, own=own)
        if source.name in resolved:
            raise NoSuchReward(f"rewards: {source.name!r} is named twice, once as {name!r}")
        resolved[source.name] = weight
    return resolved


def foreign_rewards(project: Project, rewards: Iterable[str]) -> list[str]:
    """Return which of a run's rewards are no model of the project: nobody knows the scale of their scores."""
    return [name for name in rewards if find_reward(project, name, own=None).checkpoint is None]


def rewards_of(run: TuningRun) -> dict[RewardSource, float]:
    """Return what the run is tuned on, and what each weighs. Raises: NoSuchReward where one is gone."""
    mixture: Mapping[str, float] = run.config.get("rewards") or {run.checkpoint.name: 1.0}
    return {find_reward(run.project, name, own=run.checkpoint): weight for name, weight in mixture.items()}


def tuned_on(run: TuningRun) -> set[int]:
    """Return the ids of the reward models that the run is tuned on, by a reward of theirs or by a head."""
    return {source.checkpoint.pk for source in rewards_of(run) if source.checkpoint is not None}


def held_out_rewards(run: TuningRun) -> list[RewardSource]:
    """Return up to two rewards that the run is not tuned on, to judge by while it tunes.

    First a head for artifacts: of the run's own reward model, else of the newest one that has it. Then a
    whole reward model, none of which the run is tuned on: the newest that rankings trained, else the newest.
    None is newer than the run, so that one that is taken up again is judged by the same.
    """
    tuned = rewards_of(run)
    used = {(source.checkpoint and source.checkpoint.pk, source.head) for source in tuned}
    older = run.project.reward_checkpoints.filter(created_at__lte=run.created_at)
    newest = list(older.select_related("run").order_by("-pk"))
    others = [each for each in newest if each.pk not in tuned_on(run)]
    heads = (
        RewardSource(f"{checkpoint}:{head}", checkpoint, head)
        for checkpoint in [run.checkpoint, *newest]
        for head in ARTIFACTS
        if (checkpoint.pk, head) not in used and head in checkpoint_aspects(checkpoint)
    )
    wholes = (RewardSource(each.name, each) for each in sorted(others, key=lambda each: each.run is None))
    return [source for source in (next(heads, None), next(wholes, None)) if source is not None]
