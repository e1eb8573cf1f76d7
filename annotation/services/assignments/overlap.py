"""More opinions where those that came in differ."""

from __future__ import annotations

from itertools import combinations

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q

from annotation.models import Assignment, Generation, Project, Prompt
from annotation.models.assignments import REPLACED
from annotation.selectors.checks.checks import slots_of
from annotation.services.assignments.priorities import priorities
from annotation.statistics.answers import compare

State = Assignment.State
BATCH = 1000  # prompts measured in one transaction


@transaction.atomic
def ask_where_opinions_differ(*, project: Project) -> list[Assignment]:
    """Measure the agreement on prompts whose opinions are all in, and ask for one more where it is low.

    A prompt is measured again when another opinion comes in. It never gets more than the project's extra
    opinions, and none where the file of an image is missing.

    Returns: the new, open assignments; none where another worker asks: this one would wait, and the next turn
    is a minute away.
    """
    locked = Project.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=project.pk).first()
    if locked is None:
        return []
    project = locked
    measurable = _all_in(project)
    opinions: dict[int, list[int]] = {prompt: [] for prompt in measurable}
    answers = Assignment.objects.finished().filter(prompt__in=opinions).order_by("pk")
    for pk, prompt in answers.values_list("pk", "prompt_id"):
        opinions[prompt].append(pk)
    agreements = _agreements(opinions)
    Prompt.objects.bulk_update(
        [
            Prompt(pk=prompt, agreement=agreement, opinions_compared=len(opinions[prompt]))
            for prompt, agreement in agreements.items()
        ],
        ["agreement", "opinions_compared"],
    )
    limit = project.opinions_per_prompt + project.extra_opinions
    next_opinions = {
        prompt: [len(opinions[prompt])]
        for prompt, agreement in agreements.items()
        if agreement < project.agreement_wanted and len(opinions[prompt]) < limit
    }
    return Assignment.objects.bulk_create(
        Assignment(project=project, prompt_id=prompt, priority=priority)
        for prompt, (priority,) in priorities(project, next_opinions).items()
    )


def _agreements(opinions: dict[int, list[int]]) -> dict[int, float]:
    """Return the share of image pairs on which two opinions agree, over all pairs of opinions, by prompt."""
    slots = slots_of([pk for answers in opinions.values() for pk in answers])
    agreements = {}
    for prompt, answers in opinions.items():
        compared = [compare(slots[a], slots[b]) for a, b in combinations(answers, 2)]
        agreements[prompt] = sum(agreed for agreed, _ in compared) / sum(pairs for _, pairs in compared)
    return agreements


def _all_in(project: Project) -> list[int]:
    """Return prompts with two or more opinions, all finished, whose current number was not measured yet."""
    without_file = Generation.objects.filter(prompt=OuterRef("prompt"), image=None)
    return list(
        Assignment.objects.ordinary()
        .filter(~Exists(without_file), project=project)
        .exclude(state__in=REPLACED)
        .order_by()
        .values("prompt")
        .annotate(wanted=Count("pk"), finished=Count("pk", filter=Q(state=State.ACCEPTED)))
        .filter(finished__gte=2, wanted=F("finished"))
        .exclude(prompt__opinions_compared=F("finished"))
        .values_list("prompt", flat=True)[:BATCH]
    )
