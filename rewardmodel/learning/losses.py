"""Losses over the pairs of rankings, with or without ties, and the objective that a run makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.batches import Batch


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


def pair_loss(margin: Tensor) -> Tensor:
    """-log sigmoid(rewards_chosen - rewards_rejected), in nats: margin (pairs,) -> (pairs,).

    Source: ImageReward, arXiv 2304.05977, the reward model's pairwise loss (Bradley and Terry's model).
    """
    return -F.logsigmoid(margin)


def ranking_loss(
    rewards: Tensor,
    places: Tensor,
    pairs: int | None = None,
    preferred: Tensor | None = None,
    slot_margin: float = 0.0,
) -> Tensor:
    """The mean `pair_loss` over all pairs of the batch, ties left out, as the paper has it.

    Args:
        rewards: (B, K), higher is better.
        places: (B, K) int, 1 is best; equal places tie, 0 is padding.
        pairs: divide by this many pairs instead of the batch's own, so that a pair weighs the same in
            whatever micro-batch it lies.
        preferred: (B, K, K), the probability that i is preferred to j; the loss is then the cross-entropy
            with it. None prefers the better place for certain, as the paper does.
        slot_margin: how much further apart rewards have to be for each place that two images stand apart
            beyond the first; 0 as in the paper.
    Returns: scalar, in nats.
    Raises: ValueError when no prompt has two images in different places.
    Source: as `pair_loss`; the margin, which grows with how clear a preference is and is 0 for the least
        clear: Llama 2, arXiv 2307.09288, equation 2.
    """
    i_beats_j = better_than(places)
    if not i_beats_j.any():
        raise ValueError("no two images in different places")
    margin = _margins_of_chosen(rewards, places, slot_margin)
    losses = pair_loss(margin)
    if preferred is not None:  # -p log sigmoid(m) - (1 - p) log sigmoid(-m), whose logarithms differ by m
        losses = losses + (1 - preferred[i_beats_j]) * margin
    return losses.mean() if pairs is None else losses.sum() / pairs


def davidson_loss(
    rewards: Tensor, places: Tensor, log_tie: Tensor, pairs: int | None = None, slot_margin: float = 0.0
) -> Tensor:
    """The mean of -log P(what people said) over all pairs of the batch, ties among them.

    With p = exp(reward) and nu = exp(log_tie), of two images the first wins with probability
    p_i / (p_i + p_j + nu sqrt(p_i p_j)), and they tie with nu sqrt(p_i p_j) over the same. Without ties and
    with nu = 0 it is `ranking_loss`, of the same rewards.

    Args:
        log_tie: scalar, the logarithm of nu; it may be learned.
        rewards, places, pairs, slot_margin: as in `ranking_loss`.
    Returns: scalar, in nats.
    Source: Davidson, On extending the Bradley-Terry model to accommodate ties (JASA, 1970), equation 2.5.
    """
    won = _margins_of_chosen(rewards, places, slot_margin)
    level = margins(rewards)[tied(places)]
    losses = torch.cat([_log_normaliser(won, log_tie) - won / 2, _log_normaliser(level, log_tie) - log_tie])
    return losses.mean() if pairs is None else losses.sum() / pairs


def aspect_loss(logits: Tensor, answers: Tensor, images: int | None = None) -> Tensor:
    """Cross-entropy of what people answered, the mean over an aspect's questions and over images.

    For a rating, whose questions are whether it is above 1, above 2 and so on, it is CORAL's loss with equal
    importance of all steps.

    Args:
        logits: (B, K, questions), log odds of yes.
        answers: (B, K, questions), 1 for yes, 0 for no, NaN where nobody said; that image is left out.
        images: divide by this many instead of by those with an answer.
    Returns: scalar, in nats.
    Source: Cao, Mirjalili and Raschka, arXiv 1901.07884, equation 4.
    """
    known = ~answers.isnan().any(dim=-1)  # (B, K)
    target = answers[known].to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits[known], target, reduction="none")
    return losses.mean(dim=-1).sum() / (int(known.sum()) if images is None else images)


def _margins_of_chosen(rewards: Tensor, places: Tensor, slot_margin: float) -> Tensor:
    """(pairs,): rewards_chosen - rewards_rejected, less what the lead in places asks for."""
    i_beats_j = better_than(places)
    margin = margins(rewards)[i_beats_j]
    if slot_margin == 0.0:
        return margin
    lead = (places[:, None, :] - places[:, :, None])[i_beats_j].to(margin.dtype)  # 1 or more
    return margin - slot_margin * (lead - 1)


def _log_normaliser(margin: Tensor, log_tie: Tensor) -> Tensor:
    """log(exp(m / 2) + exp(-m / 2) + nu): the denominator of the three probabilities, over sqrt(p_i p_j)."""
    return torch.logsumexp(torch.stack([margin / 2, -margin / 2, log_tie.expand_as(margin)]), dim=0)


class Objective(nn.Module):
    """The loss of a batch. Its one parameter, log nu of Davidson's model, trains where ties are learned."""

    def __init__(self, config: RewardConfig) -> None:
        super().__init__()
        self.config = config
        learned = config.ties == "learned"
        self.log_tie = nn.Parameter(torch.tensor(math.log(config.tie_parameter)), requires_grad=learned)

    def forward(self, rewards: Tensor, batch: Batch, aspects: Mapping[str, Tensor] | None = None) -> Tensor:
        """rewards (B, K) -> scalar, in nats: the sum over the batch's pairs, divided by `batch_pairs`.

        Args: aspects: logits of each aspect that is learned, (B, K, questions); one image's answers weigh as
            much as `aspect_weight` pairs.
        """
        loss = self._loss_of_pairs(rewards, batch)
        for name, logits in (aspects or {}).items():
            of_aspect = aspect_loss(logits, batch.aspects[name], images=self.config.batch_pairs)
            loss = loss + self.config.aspect_weight * of_aspect
        return loss

    def _loss_of_pairs(self, rewards: Tensor, batch: Batch) -> Tensor:
        pairs, margin = self.config.batch_pairs, self.config.slot_margin
        if self.config.ties != "left_out":
            return davidson_loss(rewards, batch.places, self.log_tie, pairs=pairs, slot_margin=margin)
        soft = batch.preferred if self.config.soft_labels else None
        return ranking_loss(rewards, batch.places, pairs=pairs, preferred=soft, slot_margin=margin)

    def count_terms(self, places: Tensor) -> int:
        """How many pairs of places (B, K) the loss sums over; tied pairs count where ties do."""
        ties = 0 if self.config.ties == "left_out" else int(tied(places).sum())
        return int(better_than(places).sum()) + ties
