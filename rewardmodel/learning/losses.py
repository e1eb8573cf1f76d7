"""What a ranking says of rewards: losses over its pairs, ties included where asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def better_than(places: Tensor) -> Tensor:
    """Which image beats which: places (B, K) int, 1 is best, 0 is padding -> (B, K, K) bool, i beats j."""
    real = places > 0
    return (places[:, :, None] < places[:, None, :]) & real[:, :, None] & real[:, None, :]


def tied(places: Tensor) -> Tensor:
    """Pairs in one place, each once: places (B, K) as in `better_than` -> (B, K, K) bool, i before j."""
    real = places > 0
    same = (places[:, :, None] == places[:, None, :]) & real[:, :, None] & real[:, None, :]
    return same.triu(diagonal=1)


def margins(rewards: Tensor) -> Tensor:
    """(B, K) -> (B, K, K): i minus j."""
    return rewards[:, :, None] - rewards[:, None, :]


def ranking_loss(
    rewards: Tensor,
    places: Tensor,
    pairs: int | None = None,
    preferred: Tensor | None = None,
    slot_margin: float = 0.0,
) -> Tensor:
    """-log sigmoid(better - worse) over all pairs of the batch, ties left out; the mean, as the paper has it.

    Args:
        rewards: (B, K), higher is better.
        places: (B, K) int, 1 is best; equal places tie, 0 is padding.
        pairs: divide by this many pairs instead of the batch's own, so that a pair weighs the same in
            whatever micro-batch it lies.
        preferred: (B, K, K), with what probability i is preferred to j; the loss is then the cross-entropy
            with it. Without it, who stands better is preferred for certain, as in the paper.
        slot_margin: how much further apart rewards have to be for each place that two images stand apart
            beyond the first; 0 as in the paper.
    Returns: scalar, in nats.
    Raises: ValueError when no prompt has two images in different places.
    Source: ImageReward, arXiv 2304.05977, the reward model's pairwise loss; the margin that grows with how
        clear a preference is, and is 0 for the least clear: Llama 2, arXiv 2307.09288, equation 2.
    """
    i_beats_j = better_than(places)
    if not i_beats_j.any():
        raise ValueError("no two images in different places")
    margin = _won(rewards, places, slot_margin)
    losses = -F.logsigmoid(margin)
    if preferred is not None:  # -p log sigmoid(m) - (1 - p) log sigmoid(-m), whose logarithms differ by m
        losses = losses + (1 - preferred[i_beats_j]) * margin
    return losses.mean() if pairs is None else losses.sum() / pairs


def davidson_loss(
    rewards: Tensor, places: Tensor, log_tie: Tensor, pairs: int | None = None, slot_margin: float = 0.0
) -> Tensor:
    """-log P(what people said) over all pairs of the batch, ties among them; the mean.

    With p = exp(reward) and nu = exp(log_tie), of two images the first wins with probability
    p_i / (p_i + p_j + nu sqrt(p_i p_j)), and they tie with nu sqrt(p_i p_j) over the same. Without ties and
    with nu = 0 it is `ranking_loss`, of the same rewards.

    Args:
        log_tie: scalar, the logarithm of nu; it may be learned.
        rewards, places, pairs, slot_margin: as in `ranking_loss`.
    Returns: scalar, in nats.
    Source: Davidson, On extending the Bradley-Terry model to accommodate ties (JASA, 1970), equation 2.5.
    """
    won = _won(rewards, places, slot_margin)
    level = margins(rewards)[tied(places)]
    losses = torch.cat([_log_ways(won, log_tie) - won / 2, _log_ways(level, log_tie) - log_tie])
    return losses.mean() if pairs is None else losses.sum() / pairs


def aspect_loss(logits: Tensor, answers: Tensor, images: int | None = None) -> Tensor:
    """Cross-entropy of what people answered, the mean over an aspect's questions and over images.

    For a rating, whose questions are whether it is above 1, above 2 and so on, it is CORAL's loss with equal
    importance of all steps.

    Args:
        logits: (B, K, questions), log odds of yes.
        answers: (B, K, questions), 1 for yes, 0 for no, NaN where nobody said; then that image is left out.
        images: divide by this many instead of those that somebody said something of.
    Returns: scalar, in nats.
    Source: Cao, Mirjalili and Raschka, arXiv 1901.07884, equation 4.
    """
    known = ~answers.isnan().any(dim=-1)  # (B, K)
    own = F.binary_cross_entropy_with_logits(logits[known], answers[known].to(logits.dtype), reduction="none")
    return own.mean(dim=-1).sum() / (int(known.sum()) if images is None else images)


def _won(rewards: Tensor, places: Tensor, slot_margin: float) -> Tensor:
    """(pairs,): by how much each better image's reward is higher, beyond what its lead in places asks."""
    i_beats_j = better_than(places)
    margin = margins(rewards)[i_beats_j]
    if slot_margin == 0.0:
        return margin
    lead = (places[:, None, :] - places[:, :, None])[i_beats_j].to(margin.dtype)  # 1 or more
    return margin - slot_margin * (lead - 1)


def _log_ways(margin: Tensor, log_tie: Tensor) -> Tensor:
    """log(exp(m / 2) + exp(-m / 2) + nu): what the three probabilities share, over sqrt(p_i p_j)."""
    return torch.logsumexp(torch.stack([margin / 2, -margin / 2, log_tie.expand_as(margin)]), dim=0)
