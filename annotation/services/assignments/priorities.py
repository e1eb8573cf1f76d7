"""Which tasks come first: the project's order of work, as numbers that the queue is sorted by."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b

from django.db import transaction

from annotation.models import Assignment, Generation, Project
from annotation.selectors.projects.uncertainty import prompt_uncertainty

Order, Rule = Project.TaskOrder, Project.ChoiceRule
LARGEST = 2**30  # of a priority; the largest comes first
ORDERED_AT_ONCE = 200  # prompts whose open tasks are locked while they are put in order


def priorities(project: Project, opinions: Mapping[int, Collection[int]]) -> dict[int, list[int]]:
    """Return by prompt id the priorities of these opinions, which are numbered from 0."""
    by_entropy = project.task_order == Order.UNSURE and project.choice_rule == Rule.ENTROPY
    entropies = prompt_uncertainty(opinions.keys()) if by_entropy else {}

    def priority(prompt: int, opinion: int) -> int:
        match project.task_order:
            case Order.BREADTH:
                return -opinion
            case Order.SHUFFLED:
                return _scattered(prompt)
            case Order.UNSURE if project.choice_rule == Rule.RANDOM:
                return _scattered(prompt)
            case Order.UNSURE:  # of a design, `order_open_tasks` says it once the model has seen all images
                return _of_entropy(entropies.get(prompt, 0.0))
            case _:  # one prompt after another, as they came in
                return 0

    return {prompt: [priority(prompt, number) for number in numbers] for prompt, numbers in opinions.items()}


def study_priority(prompt: int) -> int:
    """Return the priority of all opinions on a study's prompt, by its id.

    They come before other work, older prompts before newer ones: a study is asked about prompt by prompt, and
    an opinion that replaces another takes its turn.
    """
    return LARGEST + max(1, LARGEST - 1 - prompt)


def put_unsure_first(*, generations: Collection[int]) -> None:
    """Update the priorities of these images' prompts, in projects that begin where its entropy is highest."""
    open_tasks = Assignment.objects.ordinary().filter(
        prompt__generations__in=generations,
        state=Assignment.State.OPEN,
        project__task_order=Order.UNSURE,
        project__choice_rule=Rule.ENTROPY,
    )
    prompts = set(open_tasks.order_by().values_list("prompt_id", flat=True))
    for prompt, entropy in prompt_uncertainty(prompts).items():
        prompt_tasks = Assignment.objects.ordinary().filter(prompt=prompt, state=Assignment.State.OPEN)
        prompt_tasks.update(priority=_of_entropy(entropy))


def order_open_tasks(*, project: Project, prompts: Sequence[int], last: Collection[int] = ()) -> None:
    """Put the open tasks on these prompts in their order, ahead of those that never had a place in one.

    Tasks on other prompts, such as those opened meanwhile, stay as they are. Tasks are locked some at a time,
    and those that somebody is claiming are passed over: nobody waits for it. Killed in between, it has
    ordered some.

    Args:
        prompts: ids, the most wanted first.
        last: ids of prompts whose tasks come after all others.
    """
    places = {prompt: LARGEST - place for place, prompt in enumerate(prompts)} | dict.fromkeys(last, -1)
    asked = list(places)
    for start in range(0, len(asked), ORDERED_AT_ONCE):
        tasks = Assignment.objects.ordinary().filter(
            project=project, state=Assignment.State.OPEN, prompt__in=asked[start : start + ORDERED_AT_ONCE]
        )
        with transaction.atomic():
            moved = []
            for task in tasks.only("prompt", "priority").select_for_update(skip_locked=True):
                priority = places[task.prompt_id]
                if task.priority != priority:
                    task.priority = priority
                    moved.append(task)
            Assignment.objects.bulk_update(moved, ["priority"])


def _of_entropy(nats: float) -> int:
    return round(nats / math.log(2) * LARGEST)


def _scattered(prompt: int) -> int:
    """Return a number independent of when the prompt was added, the same for all opinions on it."""
    return int.from_bytes(blake2b(str(prompt).encode(), digest_size=4).digest(), "big") % LARGEST


@transaction.atomic
def record_scores(
    *,
    scores: Mapping[int, float],
    scored_by: str,
    scale: float = 1.0,
    standings: Mapping[int, tuple[float, float]] | None = None,
    unseen: Collection[int] = (),
) -> None:
    """Replace the score of each generation, and reorder open tasks where the project sorts by entropy.

    Args:
        scores: generation id -> score, higher is better, no unit.
        scale: nats in a unit of these scores: sigmoid of a margin in nats is a probability.
        standings: generation id -> its percentile, 0 to 100, and how probably people prefer it to the base's.
        scored_by: the model that gave them.
        unseen: those of these generations whose prompts the model was not trained on; only these measure how
            far it agrees with people.
    """
    rows = []
    for pk, score in scores.items():
        percentile, preferred = (standings or {}).get(pk, (None, None))
        standing = {"score_percentile": percentile, "score_preferred": preferred}
        rows.append(
            Generation(
                pk=pk,
                score=score,
                score_scale=scale,
                scored_by=scored_by,
                scored_unseen=pk in unseen,
                **standing,
            )
        )
    fields = ["score", "score_scale", "scored_by", "score_percentile", "score_preferred", "scored_unseen"]
    Generation.objects.bulk_update(rows, fields, batch_size=1000)
    put_unsure_first(generations=scores.keys())
