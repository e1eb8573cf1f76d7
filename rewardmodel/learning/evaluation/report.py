"""Every figure of one model on one split, fit for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from annotation.statistics.estimates import Estimate, Integers
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.evaluation.aspects import aspect_figures
from rewardmodel.learning.evaluation.best_of_n import best_of_n
from rewardmodel.learning.evaluation.calibration import calibration, fit_temperature
from rewardmodel.learning.evaluation.examples import confident_pairs
from rewardmodel.learning.evaluation.generators import rank_generators
from rewardmodel.learning.evaluation.pairs import (
    Pairs,
    accuracy_by_group,
    margin_groups,
    pair_accuracy,
    pairs_of,
    prompt_accuracy,
)
from rewardmodel.learning.evaluation.people import agreement_of_prompts, ceiling
from rewardmodel.learning.evaluation.retrieval import CUTS, mean_recall
from rewardmodel.learning.scoring import AspectAnswers, FileScorer

MARGIN_GROUPS = 8
EXAMPLES = 6  # pairs of either kind
AGREEMENT_EDGES = (0.6, 0.75, 0.9)  # ours: of people on a prompt, between which a group of prompts lies
LEVELS = ("below 60 %", "60 to 75 %", "75 to 90 %", "90 % and more")


class Judge(Protocol):
    """What scores images for prompts, as a Scorer does."""

    def score_groups(self, prompts: Sequence[str], groups: Sequence[Sequence[Any]]) -> list[list[float]]: ...


@dataclass(frozen=True)
class About:
    """Further facts of a ranking: its prompt's category, and the generators of its images, in their order."""

    category: str = ""
    generators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """Rankings, and a model's rewards of their images."""

    rankings: Sequence[Ranking]
    rewards: Sequence[Sequence[float]]
    aspects: Sequence[Sequence[AspectAnswers]] = ()  # of each image, where the model has heads for any


def judge(model: Judge, rankings: Sequence[Ranking]) -> Judged:
    """Score the images of the rankings. Raises: UnreadableImage."""
    prompts, images = [row.prompt for row in rankings], [row.images for row in rankings]
    return Judged(rankings, model.score_groups(prompts, images), _aspects(model, prompts, images))


def _aspects(
    model: Judge, prompts: Sequence[str], groups: Sequence[Sequence[Path]]
) -> list[list[AspectAnswers]]:
    if not isinstance(model, FileScorer) or not model.config.aspects:
        return []
    repeated = [prompt for prompt, images in zip(prompts, groups, strict=True) for _ in images]
    answers = iter(model.score_aspects(repeated, [image for images in groups for image in images]))
    return [list(islice(answers, len(images))) for images in groups]


def report(
    judged: Judged, *, about: Sequence[About] = (), validation: Judged | None = None, seed: int = 0
) -> dict[str, Any]:
    """Return all figures. Shares are 0 to 1; an estimate is {"value", "low", "high", "count", "prompts"}.

    Args:
        about: one for each ranking, or none.
        validation: the same model on other prompts, to fit the temperature to; None leaves it at 1.
    Raises: ValueError when there is no pair in different places.
    """
    rankings, rewards = judged.rankings, judged.rewards
    facts = about or [About()] * len(rankings)
    pairs = pairs_of(rewards, rankings)
    if not len(pairs):
        raise ValueError("no two images in different places to evaluate on")
    people = ceiling(rankings, seed=seed)
    generators = rank_generators(rewards, rankings, [fact.generators for fact in facts], seed=seed)
    return {
        "accuracy": _plain(pair_accuracy(pairs, seed=seed)),
        "accuracy_by_prompt": _plain(prompt_accuracy(pairs, seed=seed)),
        "counts": _counts(pairs),
        "rankings": len(rankings),
        "ceiling": _plain(people),
        "recall": _recall(judged, worst=False, seed=seed),
        "filter": _recall(judged, worst=True, seed=seed),
        **_groups(pairs, rankings, facts, seed),
        "by_margin": _by_margin(pairs, seed),
        "best_of_n": [asdict(pick) for pick in best_of_n(rewards, rankings, seed=seed)],
        "calibration": _calibration(pairs, validation, seed),
        "generators": asdict(generators) if generators else None,
        "examples": _examples(judged),
        "aspects": aspect_figures(judged.aspects, rankings, seed=seed) if judged.aspects else None,
    }


def _examples(judged: Judged) -> dict[str, list[dict[str, Any]]]:
    right, wrong = confident_pairs(judged.rewards, judged.rankings, count=EXAMPLES)
    return {"right": [asdict(pair) for pair in right], "wrong": [asdict(pair) for pair in wrong]}


def _counts(pairs: Pairs) -> dict[str, list[int]]:
    """Pairs, and those ordered right, of each prompt in the order of the rankings: two models measured on
    the same pairs can be compared by them, prompt by prompt."""
    every = np.bincount(pairs.prompt)
    right = np.bincount(pairs.prompt[pairs.margin > 0], minlength=len(every))
    return {"pairs": every.tolist(), "right": right.tolist()}


def _recall(judged: Judged, *, worst: bool, seed: int) -> list[dict[str, Any]]:
    recalls = ((k, mean_recall(judged.rewards, judged.rankings, k, worst=worst, seed=seed)) for k in CUTS)
    return [{"k": k, **asdict(recall[0]), "chance": recall[1]} for k, recall in recalls if recall]


def _groups(
    pairs: Pairs, rankings: Sequence[Ranking], about: Sequence[About], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Accuracy within groups of rankings, and of pairs."""
    agreed = {prompt: right / count for prompt, (right, count) in agreement_of_prompts(rankings).items()}
    levels = [agreement_level(agreed[row.prompt]) if row.prompt in agreed else "" for row in rankings]
    return {
        "by_category": _by_name(pairs, [fact.category for fact in about], seed),
        "by_agreement": sorted(_by_name(pairs, levels, seed), key=lambda group: LEVELS.index(group["name"])),
        "by_images": _by_number(pairs, np.array([len(row.places) for row in rankings])[pairs.ranking], seed),
        "by_gap": _by_number(pairs, pairs.gap, seed),
    }


def agreement_level(agreement: float) -> str:
    """Return which of LEVELS an agreement of 0 to 1 is at."""
    return LEVELS[sum(agreement >= edge for edge in AGREEMENT_EDGES)]


def _by_name(pairs: Pairs, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Args: names: the group of each ranking, or ""."""
    order = sorted(set(names) - {""})
    numbers = np.array([order.index(name) if name else -1 for name in names], np.int64)
    estimates = accuracy_by_group(pairs, numbers[pairs.ranking], seed=seed)
    return [{"name": order[number], **asdict(estimate)} for number, estimate in estimates]


def _by_number(pairs: Pairs, numbers: Integers, seed: int) -> list[dict[str, Any]]:
    """Args: numbers: the group of each pair."""
    estimates = accuracy_by_group(pairs, numbers, seed=seed)
    return [{"number": number, **asdict(estimate)} for number, estimate in estimates]


def _by_margin(pairs: Pairs, seed: int) -> list[dict[str, Any]]:
    groups, distances = margin_groups(pairs, MARGIN_GROUPS)
    estimates = accuracy_by_group(pairs, groups, seed=seed)
    return [
        {"distance": distance, **asdict(estimate)}
        for distance, (_, estimate) in zip(distances, estimates, strict=True)
    ]


def _calibration(pairs: Pairs, validation: Judged | None, seed: int) -> list[dict[str, Any]]:
    """As trained; and, where there are other prompts, at the temperature fitted to those."""
    temperatures = [1.0]
    if validation is not None:
        others = pairs_of(validation.rewards, validation.rankings)
        temperatures += [fit_temperature(others)] if len(others) else []
    return [asdict(calibration(pairs, temperature=each, seed=seed)) for each in temperatures]


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return asdict(estimate) if estimate else None
