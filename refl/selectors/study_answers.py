"""The accepted answers of a study, as votes between generators."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

from annotation.models import Assignment, Generation, Placement, PromptLabel
from annotation.statistics.estimates import Interval
from annotation.statistics.win_rates import WinRate, verdict, win_rate
from refl.models import Generator, StoredRate, Study, StudyTask

State = Assignment.State


@dataclass(frozen=True)
class Rate:
    """How often a generator's images are preferred to another's.

    `verdict` is "better", "worse", "equal" or "open"; its error is shared with the study's other comparisons.
    On a part of the prompts it is "": nothing is shared there, and no winner named.
    """

    generator: Generator
    against: Generator
    result: WinRate
    verdict: str

    @classmethod
    def restored(cls, rate: StoredRate, generators: Mapping[int, Generator]) -> Rate:
        """Return the rate that a study kept. Args: generators: those of the study by id."""
        result = WinRate(
            wins=rate.wins,
            losses=rate.losses,
            ties=rate.ties,
            prompts=rate.prompts,
            value=rate.value,
            interval=Interval(rate.low, rate.high),
        )
        return cls(generators[rate.generator], generators[rate.against], result, rate.verdict)

    @property
    def stored(self) -> StoredRate:
        """The rate as its study keeps it."""
        result = self.result
        return StoredRate(
            generator=self.generator.pk,
            against=self.against.pk,
            wins=result.wins,
            losses=result.losses,
            ties=result.ties,
            prompts=result.prompts,
            value=result.value,
            low=result.interval.low,
            high=result.interval.high,
            verdict=self.verdict,
        )


class Vote(NamedTuple):
    """A person's preference between images of two generators, named by their places.

    `vote` is 1 where the second generator's image was preferred, 0 where the first's was, 1/2 for a tie.
    """

    task: StudyTask
    assignment: int
    annotator: int
    first: int
    second: int
    vote: float


class _Placed(NamedTuple):
    """A placement as read: whose opinion, which image, in which slot."""

    prompt: int
    assignment: int
    annotator: int
    generation: int
    slot: int


@dataclass(frozen=True)
class Answers:
    """The accepted answers of a study with its tasks and images."""

    study: Study
    generators: list[Generator]
    tasks: dict[int, StudyTask]  # by prompt id
    images: dict[int, Generation]  # by id
    placed: list[_Placed]

    @cached_property
    def places(self) -> dict[str, int]:
        return {generator.name: place for place, generator in enumerate(self.generators)}

    def place_of(self, generation: int) -> int:
        return self.places[self.images[generation].generator]

    @cached_property
    def votes(self) -> list[Vote]:
        by_assignment: dict[int, list[_Placed]] = defaultdict(list)
        for row in self.placed:
            by_assignment[row.assignment].append(row)
        votes = []
        for assignment, rows in by_assignment.items():
            task = self.tasks[rows[0].prompt]
            ordered = sorted(rows, key=lambda row: self.place_of(row.generation))
            for one, other in combinations(ordered, 2):
                places = self.place_of(one.generation), self.place_of(other.generation)
                vote = 0.5 + np.sign(one.slot - other.slot) / 2
                votes.append(Vote(task, assignment, one.annotator, *places, float(vote)))
        return votes

    @cached_property
    def waiting(self) -> list[StudyTask]:
        """The tasks that lack opinions: what is closed by somebody who saw the votes must not end them."""
        answered = Counter(prompt for prompt, _ in {(row.prompt, row.assignment) for row in self.placed})
        wanted = self.study.settings.opinions
        return [task for prompt, task in self.tasks.items() if answered[prompt] < wanted]

    def rate(
        self, place: int, against: int, *, confidence: float, within: frozenset[int] | None = None
    ) -> Rate:
        """Return a generator's rate against another, over the prompts that have all their opinions.

        Of a withdrawn task whatever is missing is not waited for, and what it has does not count.

        Args: within: prompts that count, None for all.
        """
        sides = sorted((place, against))
        waiting = [task for task in self.waiting if set(sides) <= set(task.places)]
        prompts_waiting = {task.caption for task in waiting if not task.withdrawn}
        partial = {task.pk for task in waiting if task.withdrawn}
        votes = [
            vote
            for vote in self.votes
            if [vote.first, vote.second] == sides and (within is None or vote.task.caption in within)
        ]
        scores = np.array([vote.vote for vote in votes], np.float64)
        prompts = np.array([vote.task.caption for vote in votes], np.int64)
        result = win_rate(
            prompts,
            scores if place > against else 1 - scores,
            np.array(
                [vote.task.caption not in prompts_waiting and vote.task.pk not in partial for vote in votes],
                bool,
            ),
            confidence=confidence,
        )
        named = "" if within is not None else verdict(result.interval, margin=self.study.settings.margin)
        return Rate(self.generators[place], self.generators[against], result, named)


def read_answers(study: Study) -> Answers:
    tasks = {task.prompt_id: task for task in study.tasks.select_related("prompt")}
    images = Generation.objects.filter(prompt__study_task__study=study).select_related("image").in_bulk()
    placed = (
        Placement.objects.filter(
            ranking__assignment__prompt__study_task__study=study,
            ranking__assignment__kind=Assignment.Kind.STUDY,
            ranking__assignment__state=State.ACCEPTED,
        )
        .order_by("ranking__assignment", "generation")
        .values_list(
            "ranking__assignment__prompt_id",
            "ranking__assignment_id",
            "ranking__assignment__annotator_id",
            "generation_id",
            "slot",
        )
    )
    return Answers(
        study=study,
        generators=study.compared,
        tasks=tasks,
        images=images,
        placed=[_Placed(*row) for row in placed],
    )


def category_of(answers: Answers) -> Mapping[int, str]:
    """Return each prompt's category: as most answers of the study label it, else as it was known."""
    labels: dict[int, Counter[str]] = defaultdict(Counter)
    accepted = PromptLabel.objects.filter(
        assignment__prompt__in=answers.tasks, assignment__state=State.ACCEPTED
    )
    for prompt, category in accepted.order_by("pk").values_list("assignment__prompt_id", "category"):
        labels[answers.tasks[prompt].caption][category] += 1
    known = {task.caption: task.category for task in answers.tasks.values()}
    return {
        prompt: next((name for name, _ in labels[prompt].most_common(1)), category)
        for prompt, category in known.items()
    }
