"""People who rank images whose true strengths are known."""

import numpy as np

from annotation.statistics.panels import Placements


def placements(*rankings, scores=None):
    """Rows (prompt, rater, {image: slot}), each an opinion; `scores` are the model's by image."""
    rows = [
        (prompt, opinion, rater, image, slot)
        for opinion, (prompt, rater, slots) in enumerate(rankings)
        for image, slot in slots.items()
    ]
    columns = np.array(rows, np.int64).reshape(-1, 5).T
    known = np.array([(scores or {}).get(image, np.nan) for image in columns[3]])
    return Placements(*columns, known)


def crowd(prompts, noises, *, images=4, opinions=None, seed=0):
    """Everybody ranks every prompt, or `opinions` of them drawn anew for each; noise is added to strengths.

    A noise of None ranks at random. Model scores are the true strengths.
    """
    generator = np.random.default_rng(seed)
    rankings, scores = [], {}
    for prompt in range(prompts):
        truth = generator.normal(size=images)
        ids = [10 * prompt + i for i in range(images)]
        scores |= dict(zip(ids, truth, strict=True))
        people = generator.permutation(len(noises))[: opinions or len(noises)]
        for rater in people:
            noise = noises[rater]
            seen = generator.normal(size=images)
            seen = seen if noise is None else truth + noise * seen
            slots = (-seen).argsort().argsort() + 1
            rankings.append((prompt, int(rater), dict(zip(ids, slots, strict=True))))
    return placements(*rankings, scores=scores)
