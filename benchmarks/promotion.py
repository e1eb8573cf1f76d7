"""What the rule of promotion is worth: how often a model that is better by so much is promoted.

    .venv/bin/python -m benchmarks.promotion [--trials 1000]

Two models and the people give each image a normal value, correlated so that the models order two images as
people did with the accuracies wanted; half of what is wrong with one model is wrong with the other too. Of
each prompt four images are ranked, six pairs that share images and so are dependent. Minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from annotation.statistics.estimates import Floats
from annotation.statistics.superiority import Decision, Lead, Rule, probability_better

ACCURACY = 0.65  # of the promoted model: about that of the small world's
SHARED = 0.5  # share of the errors' variance that both models have
IMAGES = 4
PAIRS = IMAGES * (IMAGES - 1) // 2  # of a prompt
LEADS = (-0.02, 0.0, 0.02, 0.05, 0.10)
SIZES = (60, 120, 240, 480, 960, 1920, 3840, 7680)  # pairs of the test split
FIRST_SIZE = 162  # pairs at the first look of a model that may wait
DRAWS = 4000
POWER = 0.8


def draw_gains(rng: np.random.Generator, prompts: int, lead: float) -> Floats:
    """Draw what a model orders right of each prompt's pairs less what the promoted one does -> (prompts,).

    Two normal variables of correlation r order two values alike with probability 1/2 + arcsin(r) / pi.
    """
    shape = (prompts, IMAGES)
    people, shared = rng.standard_normal(shape), rng.standard_normal(shape)
    one, other = np.triu_indices(IMAGES, 1)
    right = []
    for accuracy in (ACCURACY + lead, ACCURACY):
        correlation = np.sin(np.pi * (accuracy - 0.5))
        errors = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * rng.standard_normal(shape)
        rewards = correlation * people + np.sqrt(1 - correlation**2) * errors
        alike = (rewards[:, one] - rewards[:, other]) * (people[:, one] - people[:, other]) > 0
        right.append(alike.sum(axis=1))  # (prompts,)
    return np.asarray(right[0] - right[1], np.float64)


def lead_of(gains: Floats) -> Lead:
    probability = probability_better(gains, seed=0, draws=DRAWS)
    pairs = len(gains) * PAIRS
    return Lead(float(gains.sum()) / pairs, probability, pairs, len(gains))


def promoted_at(rule: Rule, size: int, lead: float, trials: int) -> tuple[float, float]:
    """Return the share of trials that promote at one look, and the share whose accuracy is simply higher."""
    rng = np.random.default_rng(size)
    leads = [lead_of(draw_gains(rng, size // PAIRS, lead)) for _ in range(trials)]
    sure = sum(rule.decide(each)[0] == Decision.BETTER for each in leads)
    return sure / trials, sum(each.difference > 0 for each in leads) / trials


def promoted_with_waiting(rule: Rule, lead: float, trials: int) -> tuple[float, float]:
    """Return the share of trials that promote in the end, and the mean pairs that the decision took.

    A model that waits is looked at again when there are as many pairs as it waits for: those seen, and more.
    """
    rng = np.random.default_rng(1)
    promoted, pairs = 0, 0
    for _ in range(trials):
        gains = draw_gains(rng, FIRST_SIZE // PAIRS, lead)
        decision, wanted = rule.decide(lead_of(gains))
        while decision == Decision.UNDECIDED:
            more = max(1, -(-wanted // PAIRS) - len(gains))
            gains = np.concatenate([gains, draw_gains(rng, more, lead)])
            decision, wanted = rule.decide(lead_of(gains))
        promoted += decision == Decision.BETTER
        pairs += len(gains) * PAIRS
    return promoted / trials, pairs / trials


def first_size(shares: Sequence[float]) -> str:
    """Between which sizes the share promoted reaches POWER, interpolated in the logarithm of the pairs."""
    for at, share in enumerate(shares):
        if share >= POWER:
            if at == 0:
                return f"<= {SIZES[0]}"
            low, high = np.log(SIZES[at - 1]), np.log(SIZES[at])
            before = shares[at - 1]
            return f"{np.exp(low + (high - low) * (POWER - before) / (share - before)):,.0f}"
    return f"> {SIZES[-1]:,}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000, help="of each cell")
    parser.add_argument("--probability", type=float, default=0.95)
    parser.add_argument("--pairs", type=int, default=100, help="least pairs of a decision")
    options = parser.parse_args()
    rule = Rule(options.probability, options.pairs)
    sizes = " | ".join(f"{size:,}" for size in SIZES)
    print(f"promoted at one look, at {rule.probability:.0%} and {rule.pairs} pairs at least")
    print(f"| true lead, points | {sizes} | pairs for {POWER:.0%} |")
    higher: dict[float, list[float]] = {}
    for lead in LEADS:
        shares = [promoted_at(rule, size, lead, options.trials) for size in SIZES]
        higher[lead] = [simply for _, simply in shares]
        sure = [share for share, _ in shares]
        cells = " | ".join(f"{share:.1%}" for share in sure)
        print(f"| {lead * 100:+.0f} | {cells} | {first_size(sure) if lead > 0 else ''} |", flush=True)
    print("promoted where the accuracy is simply higher")
    for lead, simply in higher.items():
        print(f"| {lead * 100:+.0f} | {' | '.join(f'{share:.1%}' for share in simply)} | |")
    print(f"first looked at on {FIRST_SIZE} pairs, and again where it waits: promoted, mean pairs")
    for lead in LEADS:
        promoted, pairs = promoted_with_waiting(rule, lead, options.trials)
        print(f"| {lead * 100:+.0f} | {promoted:.1%} | {pairs:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
