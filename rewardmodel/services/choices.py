"""Choosing prompts by what their answers would teach a reward model: what it sees of them, and the design."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING

from django.utils.timezone import now

from annotation.local_images import local_images
from annotation.models import Project
from annotation.selectors.projects.choices import (
    ScoredPrompt,
    asked_prompts,
    open_prompts,
    scored_prompts,
    unordered_prompts,
)
from annotation.services.assignments.priorities import order_open_tasks
from rewardmodel.models import RewardCheckpoint
from rewardmodel.scoring import scorer
from rewardmodel.selection.design import (
    DESIGNED,
    POOL,
    d_optimal,
    information_root,
    most_gaining,
    prior_precision,
    weight_covariance,
)

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import HeadInputs, Scorer

logger = logging.getLogger(__name__)
MOST_ASKED = 500  # prompts, the newest, of which it is remembered what their answers told
CHUNK = 32  # prompts between two looks at whether to stop


def most_informative(
    candidates: Mapping[int, HeadInputs],
    count: int,
    *,
    asked: Mapping[int, HeadInputs],
    should_stop: Callable[[], bool],
) -> list[int]:
    """Return as many candidates as are wanted, the most informative after those asked already first.

    Fewer when asked to stop.

    Args: asked: none of them a candidate.
    """
    return d_optimal(
        {prompt: information_root(each.features) for prompt, each in candidates.items()},
        count,
        asked=[information_root(each.features) for each in asked.values()],
        precision=prior_precision([each.features for each in (*candidates.values(), *asked.values())]),
        should_stop=should_stop,
    )


def see_asked(
    model: Scorer,
    checkpoint: RewardCheckpoint,
    *,
    candidates: Collection[int],
    should_stop: Callable[[], bool],
) -> dict[int, HeadInputs]:
    """Return what the head sees of the prompts that people were asked about last, less the candidates."""
    asked = asked_prompts(checkpoint.project, most=MOST_ASKED, without=candidates)
    return dict(see(model, scored_prompts(asked, scored_by=checkpoint.name), should_stop=should_stop))


def order_by_design(
    checkpoint: RewardCheckpoint, *, scored_anew: bool, should_stop: Callable[[], bool]
) -> None:
    """Put the project's open tasks in the order of the design, where it has them so.

    1. See what was asked, and the first of the open prompts: these tell what is known before any answer.
    2. See the others, and keep those that gain most by themselves (`most_gaining`).
    3. Choose DESIGNED of these together; all others follow by their own gain.

    Those on prompts whose images this model has not all scored come last; those opened meanwhile wait for the
    next order. Asked to stop, it changes nothing, nor where nothing was scored and nothing opened since it
    ordered them.

    Args: scored_anew: whether this model has scored any image since.
    Raises: CheckpointError.
    """
    project = checkpoint.project
    if (project.task_order, project.choice_rule) != (Project.TaskOrder.UNSURE, Project.ChoiceRule.D_OPTIMAL):
        return
    is_due = scored_anew or not checkpoint.has_ordered or unordered_prompts(project)
    candidates = open_prompts(project) if is_due else []
    waiting = scored_prompts(candidates, scored_by=checkpoint.name)
    if not waiting:
        return
    model = scorer(checkpoint)
    asked = [
        each.features
        for each in see_asked(model, checkpoint, candidates=waiting, should_stop=should_stop).values()
    ]
    seen = ((prompt, each.features) for prompt, each in see(model, waiting, should_stop=should_stop))
    first = list(islice(seen, DESIGNED))
    if not first:
        return
    precision = prior_precision([*(features for _, features in first), *asked])
    told = [information_root(features) for features in asked]
    covariance = weight_covariance(told, width=first[0][1].shape[1], precision=precision)
    roots = ((prompt, information_root(features)) for prompt, features in chain(first, seen))
    pool, by_gain = most_gaining(roots, POOL, covariance=covariance)
    order = d_optimal(pool, DESIGNED, asked=told, precision=precision, should_stop=should_stop)
    if not should_stop():
        ordered = list(dict.fromkeys([*order, *by_gain]))
        unseen = set(candidates).difference(ordered)
        order_open_tasks(project=project, prompts=ordered, last=sorted(unseen))
        RewardCheckpoint.objects.filter(pk=checkpoint.pk).update(ordered_at=now())


def see(
    model: Scorer, prompts: Mapping[int, ScoredPrompt], *, should_stop: Callable[[], bool]
) -> Iterator[tuple[int, HeadInputs]]:
    """Yield each prompt's id and what the head sees of its images; of fewer when asked to stop.

    Prompts with an image that cannot be read any more are left out.
    """
    from rewardmodel.learning.data.preprocessing import UnreadableImage

    numbers = list(prompts)
    for start in range(0, len(numbers), CHUNK):
        if should_stop():
            break
        chunk = {number: prompts[number] for number in numbers[start : start + CHUNK]}
        with local_images(file for each in chunk.values() for file in each.images) as folder:
            groups = [[folder / file for file in each.images] for each in chunk.values()]
            texts = [each.text for each in chunk.values()]
            try:
                seen = dict(zip(chunk, model.embed_groups(texts, groups), strict=True))
            except UnreadableImage:
                seen = {}
                for number, text, group in zip(chunk, texts, groups, strict=True):
                    try:
                        seen[number] = model.embed_groups([text], [group])[0]
                    except UnreadableImage as error:
                        logger.warning("prompt %d is not among those chosen from: %s", number, error)
        yield from seen.items()
