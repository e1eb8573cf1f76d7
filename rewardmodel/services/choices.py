"""Choosing prompts by what their answers would teach a reward model: what it sees of them, and the design."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from annotation.local_images import local_images
from annotation.models import Project
from annotation.selectors.projects.choices import ScoredPrompt, asked_prompts, open_prompts, scored_prompts
from annotation.services.assignments.priorities import order_open_tasks
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selection.design import d_optimal, information_root, prior_precision

if TYPE_CHECKING:
    from rewardmodel.learning.scoring import HeadInputs, Scorer

MOST_ASKED = 500  # prompts, the newest, of which it is remembered what their answers told
CHUNK = 32  # prompts between two looks at whether to stop


def most_informative(
    candidates: Mapping[int, HeadInputs], count: int, *, asked: Mapping[int, HeadInputs]
) -> list[int]:
    """Return as many candidates as are wanted, the most informative after those asked already first.

    Args: asked: none of them a candidate.
    """
    return d_optimal(
        {prompt: information_root(each.features) for prompt, each in candidates.items()},
        count,
        asked=[information_root(each.features) for each in asked.values()],
        precision=prior_precision([each.features for each in (*candidates.values(), *asked.values())]),
    )


def see_asked(
    model: Scorer,
    checkpoint: RewardCheckpoint,
    *,
    candidates: Collection[int],
    should_stop: Callable[[], bool],
) -> dict[int, HeadInputs]:
    """Return what the head sees of the prompts that people were asked about last, less the candidates.

    Raises: UnreadableImage, WrongContent.
    """
    asked = asked_prompts(checkpoint.project, most=MOST_ASKED, without=candidates)
    return _see(model, scored_prompts(asked, scored_by=checkpoint.name), should_stop=should_stop)


def order_by_design(checkpoint: RewardCheckpoint, *, should_stop: Callable[[], bool]) -> None:
    """Put the project's open tasks in the order of the design, where it has them so.

    Those on prompts whose images this model has not all scored come last. Asked to stop, it changes nothing.

    Raises: CheckpointError, UnreadableImage, WrongContent.
    """
    from rewardmodel.learning import load

    project = checkpoint.project
    if (project.task_order, project.choice_rule) != (Project.TaskOrder.UNSURE, Project.ChoiceRule.D_OPTIMAL):
        return
    waiting = scored_prompts(open_prompts(project), scored_by=checkpoint.name)
    if not waiting:
        return
    model = load(checkpoint.location)
    candidates = _see(model, waiting, should_stop=should_stop)
    asked = see_asked(model, checkpoint, candidates=candidates.keys(), should_stop=should_stop)
    if not should_stop():
        order = most_informative(candidates, len(candidates), asked=asked)
        order_open_tasks(project=project, prompts=order)


def _see(
    model: Scorer, prompts: Mapping[int, ScoredPrompt], *, should_stop: Callable[[], bool]
) -> dict[int, HeadInputs]:
    """Return what the head sees of each prompt's images, by id; of fewer when asked to stop."""
    seen: dict[int, HeadInputs] = {}
    numbers = list(prompts)
    for start in range(0, len(numbers), CHUNK):
        if should_stop():
            break
        chunk = {number: prompts[number] for number in numbers[start : start + CHUNK]}
        with local_images(file for each in chunk.values() for file in each.images) as folder:
            groups = [[folder / file for file in each.images] for each in chunk.values()]
            inputs = model.embed_groups([each.text for each in chunk.values()], groups)
        seen |= dict(zip(chunk, inputs, strict=True))
    return seen
