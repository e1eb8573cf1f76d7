"""Figures of a study beside its win rates: categories, agreement, board, reward model, and when it ends."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from django.db.models import Count

from annotation.models import Assignment, Category
from annotation.statistics import notation
from annotation.statistics.agreement import MODEL, compare
from annotation.statistics.estimates import (
    Booleans,
    Estimate,
    Floats,
    Integers,
    NotEnough,
    Resamples,
    mean_over_prompts,
)
from annotation.statistics.leaderboard import Standing, leaderboard
from annotation.statistics.panels import Placements, panels
from annotation.statistics.sequential import Power, power_at
from annotation.statistics.win_rates import each_confidence
from refl.models import Generator, Study, StudyConfig
from refl.selectors.study_answers import Answers, Rate, category_of

State = Assignment.State
SEED = 0  # of the resamples: the same answers give the same page
UNKNOWN = "Not labelled"
DIFFERENCE = 0.6  # the share of votes that power is told for, where nobody asks for another


@dataclass(frozen=True)
class StudyCounts:
    """Prompts and tasks of the study, and its assignments by what became of them.

    `wanted` opinions are those that there will be: `answered` count, `waiting` are open, `in_hand` are
    leased, `under_review` await an inspector. `withdrawn` are tasks that are asked no more.
    """

    prompts: int
    tasks: int
    withdrawn: int
    wanted: int
    answered: int
    waiting: int
    in_hand: int
    under_review: int
    skipped: int

    @property
    def is_all_in(self) -> bool:
        return not (self.waiting or self.in_hand or self.under_review)


@dataclass(frozen=True)
class CategoryRates:
    """Rates on the prompts of one category. Their intervals are each for itself: they name no winner."""

    category: str
    rates: list[Rate]


@dataclass(frozen=True)
class BoardRow:
    """A generator on the board of all."""

    generator: Generator
    standing: Standing


@dataclass(frozen=True)
class RewardOpinion:
    """What the reward model says of the same images.

    Attributes:
        model: its name.
        accuracy: how often it prefers what a person preferred, of pairs that neither calls equal.
        win_rates: of each generator but the base, over prompts, as the model's scores have it.
    """

    model: str
    accuracy: Estimate | NotEnough
    win_rates: list[tuple[Generator, Estimate]]


@dataclass(frozen=True)
class Stop:
    """Whether the study may end. `kind` is "go_on", "winner", "equal" or "all_in"."""

    kind: str
    sentence: str


def study_power(config: StudyConfig, *, generators: int, rate: float = DIFFERENCE) -> Power:
    """Return how many votes a difference takes, and how probably a study so planned finds it.

    It takes one vote on each prompt: further ones on the same tell a little more, never less.

    Args: rate: the share of votes for the better one, 0.55 to 1.
    """
    confidence = each_confidence(config.confidence, generators)
    return power_at(rate, confidence=confidence, votes=config.captions)


def count_assignments(study: Study, answers: Answers) -> StudyCounts:
    assignments = Assignment.objects.filter(prompt__study_task__study=study)
    states = Counter(dict(assignments.order_by().values_list("state").annotate(Count("pk"))))
    tasks = answers.tasks.values()
    return StudyCounts(
        prompts=len({task.caption for task in tasks}),
        tasks=len(tasks),
        withdrawn=sum(bool(task.withdrawn) for task in tasks),
        wanted=sum(states[state] for state in (State.ACCEPTED, State.OPEN, State.LEASED, State.SUBMITTED)),
        answered=states[State.ACCEPTED],
        waiting=states[State.OPEN],
        in_hand=states[State.LEASED],
        under_review=states[State.SUBMITTED],
        skipped=states[State.SKIPPED],
    )


def stop_rule(study: Study, rates: Sequence[Rate], counts: StudyCounts) -> Stop:
    """Return whether the study may end: a winner is named, no difference is left, or everybody answered.

    Of several generators, all must be decided.
    """
    decided = [rate for rate in rates if rate.verdict != "open"]
    if len(decided) == len(rates):
        kind = "equal" if all(rate.verdict == "equal" for rate in rates) else "winner"
        return Stop(kind, " ".join(map(_sentence, rates)))
    if study.state != Study.State.DRAWING and counts.is_all_in:
        if decided:
            undecided = ", ".join(str(rate.generator) for rate in rates if rate.verdict == "open")
            last = f"Every opinion is in; of {undecided} they leave it open."
            return Stop("all_in", " ".join([*map(_sentence, decided), last]))
        return Stop("all_in", "Every opinion is in, and no interval is clear of one half.")
    done = f"{counts.answered:,} of {counts.wanted:,} opinions are in."
    return Stop("go_on", " ".join([done, *map(_sentence, decided)]))


def _sentence(rate: Rate) -> str:
    interval = notation.percent_interval(rate.result.interval.low, rate.result.interval.high)
    said = {
        "better": f"{rate.generator} is preferred to {rate.against}",
        "worse": f"{rate.against} is preferred to {rate.generator}",
        "equal": f"{rate.generator} and {rate.against} differ by little, if at all",
    }[rate.verdict]
    return f"{said}: {notation.percent(rate.result.value or 0)} of votes ({interval} %)."


def placements_of(answers: Answers) -> Placements:
    """Return the answers as arrays; a prompt is a task."""
    prompts, assignments, annotators, generations, slots = (
        np.array(column, np.int64) for column in (list(zip(*answers.placed, strict=True)) or [()] * 5)
    )
    _, tasks = np.unique(prompts, return_inverse=True)
    _, raters = np.unique(annotators, return_inverse=True)
    model = _model(answers)
    scores = [
        image.score if image.scored_by == model and image.score is not None else np.nan
        for image in (answers.images[pk] for pk in generations.tolist())
    ]
    return Placements(tasks, assignments, raters, generations, slots, np.array(scores, np.float64))


def _model(answers: Answers) -> str:
    """Return the reward model that scored most of the study's images, or ""."""
    names = Counter(image.scored_by for image in answers.images.values() if image.score is not None)
    return next((name for name, _ in names.most_common(1)), "")


def agreement_of(answers: Answers, placed: Placements, *, between_people: bool) -> Estimate | NotEnough:
    """Return how often two people, or the reward model and a person, prefer the same image of a pair.

    Prompts are resampled: the tasks of one are dependent.
    """
    people = int(placed.raters.max(initial=-1)) + 1
    everybody: Booleans = np.arange(people + 2) < people
    model: Booleans = np.zeros(people + 2, bool)
    model[MODEL] = True
    comparisons = compare(panels(placed), everybody[:people])
    comparisons = comparisons.between(everybody, everybody if between_people else model)
    of_task: Integers = np.zeros(int(placed.prompts.max(initial=-1)) + 1, np.int64)  # prompt of each
    of_task[placed.prompts] = prompts = prompts_of(answers)
    by_prompt = replace(comparisons, prompts=of_task[comparisons.prompts])
    return by_prompt.measure("strict", Resamples(int(prompts.max(initial=-1)) + 1, seed=SEED))


def prompts_of(answers: Answers) -> Integers:
    """Return the prompt of each placement: (N,), numbered without gaps from 0."""
    prompts = np.array([answers.tasks[row.prompt].caption for row in answers.placed], np.int64)
    return np.unique(prompts, return_inverse=True)[1]


def board_of(answers: Answers, placed: Placements) -> list[BoardRow] | NotEnough:
    """Return the generators by strength, as the project's leaderboard has it."""
    if not answers.placed:
        return NotEnough("no answer yet")
    prompts = prompts_of(answers)
    by_prompt = Placements(
        prompts, placed.opinions, placed.raters, placed.images, placed.slots, placed.scores
    )
    items = np.array([answers.place_of(row.generation) for row in answers.placed], np.int64)
    boards = leaderboard(by_prompt, items)
    if not boards:
        return NotEnough("no two generators were compared yet")
    standings = boards[0].standings
    if isinstance(standings, NotEnough):
        return standings
    return [BoardRow(answers.generators[standing.item], standing) for standing in standings]


def categories_of(answers: Answers) -> list[CategoryRates]:
    """Return the rates of each category that some prompt has, in the order of the categories."""
    of_prompt = category_of(answers)
    names = [value for value in [*Category.values, ""] if value in of_prompt.values()]
    if names in ([], [""]):
        return []
    rows = []
    for name in names:
        within = frozenset(prompt for prompt, category in of_prompt.items() if category == name)
        rates = [
            answers.rate(place, 0, confidence=answers.study.settings.confidence, within=within)
            for place in range(1, len(answers.generators))
        ]
        rows.append(CategoryRates(_category_label(name), rates))
    return rows


def reward_opinion(answers: Answers, placed: Placements) -> RewardOpinion | None:
    model = _model(answers)
    if not model:
        return None
    scores: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)  # (prompt, seed) -> place -> score
    for image in answers.images.values():
        task = answers.tasks[image.prompt_id]
        if image.scored_by == model and image.score is not None:
            scores[task.caption, task.seed][answers.places[image.generator]] = image.score
    win_rates = []
    for place, generator in enumerate(answers.generators[1:], start=1):
        both = [(prompt, of) for (prompt, _), of in scores.items() if place in of and 0 in of]
        prompts: Integers = np.array([prompt for prompt, _ in both], np.int64)
        votes: Floats = np.array([0.5 + np.sign(of[place] - of[0]) / 2 for _, of in both], np.float64)
        estimate = mean_over_prompts(prompts, votes, seed=SEED)
        if estimate is not None:
            win_rates.append((generator, estimate))
    return RewardOpinion(model, agreement_of(answers, placed, between_people=False), win_rates)


def _category_label(name: str) -> str:
    return str(Category(name).label) if name else UNKNOWN
