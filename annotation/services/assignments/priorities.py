"""Which tasks come first: the project's order of work, as numbers that the queue is sorted by."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from hashlib import blake2b

from django.db import transaction

from annotation.models import Assignment, Generation, Project
from annotation.selectors.projects.uncertainty import prompt_uncertainty

Order = Project.TaskOrder
LARGEST = 2**30  # of a priority; the largest comes first


def first_priorities(project: Project, prompts: Collection[int]) -> dict[int, list[int]]:
    """The priority of each opinion that is to be asked for, by prompt id."""
    wanted = range(project.opinions_per_prompt)
    return priorities(project, {prompt: wanted for prompt in prompts})


def priorities(project: Project, opinions: Mapping[int, Collection[int]]) -> dict[int, list[int]]:
    """By prompt id, the priorities of these opinions on it, which are counted from 0."""
    unsure = prompt_uncertainty(opinions.keys()) if project.task_order == Order.UNSURE else {}

    def priority(prompt: int, opinion: int) -> int:
        match project.task_order:
            case Order.BREADTH:
                return -opinion
            case Order.SHUFFLED:
                return _scattered(prompt)
            case Order.UNSURE:
                return _of_entropy(unsure.get(prompt, 0.0))
            case _:  # one prompt after another, as they came in
                return 0

    return {prompt: [priority(prompt, number) for number in numbers] for prompt, numbers in opinions.items()}


def put_unsure_first(*, generations: Collection[int]) -> None:
    """Sort the open tasks of these images' prompts anew, in projects that begin where the model is unsure."""
    unsure = Assignment.objects.ordinary().filter(
        prompt__generations__in=generations,
        state=Assignment.State.OPEN,
        project__task_order=Order.UNSURE,
    )
    prompts = set(unsure.order_by().values_list("prompt_id", flat=True))
    for prompt, entropy in prompt_uncertainty(prompts).items():
        waiting = Assignment.objects.ordinary().filter(prompt=prompt, state=Assignment.State.OPEN)
        waiting.update(priority=_of_entropy(entropy))


def _of_entropy(nats: float) -> int:
    return round(nats / math.log(2) * LARGEST)


def _scattered(prompt: int) -> int:
    """A number that says nothing of when the prompt came in; the same for all opinions on it."""
    return int.from_bytes(blake2b(str(prompt).encode(), digest_size=4).digest(), "big") % LARGEST


@transaction.atomic
def record_scores(*, scores: Mapping[int, float], scored_by: str, unseen: Collection[int] = ()) -> None:
    """Set the score of each generation, in place of the one before; open tasks are sorted by it where asked.

    Args:
        scores: generation id -> score, higher is better, no unit.
        scored_by: the model that gave them.
        unseen: of these generations, those of whose prompt the model has learned nothing: only they show how
            far it agrees with people.
    """
    Generation.objects.bulk_update(
        [
            Generation(pk=pk, score=score, scored_by=scored_by, scored_unseen=pk in unseen)
            for pk, score in scores.items()
        ],
        ["score", "scored_by", "scored_unseen"],
        batch_size=1000,
    )
    put_unsure_first(generations=scores.keys())
