"""What a run learns from: the paper's loss, and what its configuration adds to it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.rankings import Batch
from rewardmodel.learning.losses import aspect_loss, better_than, davidson_loss, ranking_loss, tied

TIE_RATE = 0.05  # the tie parameter's learning rate: one number, which may step further than weights may


class Objective(nn.Module):
    """The loss of a batch. Its one parameter, log nu of Davidson's model, trains where ties are learned."""

    def __init__(self, config: RewardConfig) -> None:
        super().__init__()
        self.config = config
        learned = config.ties == "learned"
        self.log_tie = nn.Parameter(torch.tensor(math.log(config.tie_parameter)), requires_grad=learned)

    def forward(self, rewards: Tensor, batch: Batch, aspects: Mapping[str, Tensor] | None = None) -> Tensor:
        """rewards (B, K) -> scalar, in nats: the sum over the batch's pairs, over `batch_pairs`.

        Args: aspects: log odds of each aspect that is learned, (B, K, questions); what people answered weighs
            `aspect_weight` pairs an image.
        """
        loss = self._of_pairs(rewards, batch)
        for name, logits in (aspects or {}).items():
            own = aspect_loss(logits, batch.aspects[name], images=self.config.batch_pairs)
            loss = loss + self.config.aspect_weight * own
        return loss

    def _of_pairs(self, rewards: Tensor, batch: Batch) -> Tensor:
        pairs, margin = self.config.batch_pairs, self.config.slot_margin
        if self.config.ties != "left_out":
            return davidson_loss(rewards, batch.places, self.log_tie, pairs=pairs, slot_margin=margin)
        soft = batch.preferred if self.config.soft_labels else None
        return ranking_loss(rewards, batch.places, pairs=pairs, preferred=soft, slot_margin=margin)

    def terms(self, places: Tensor) -> int:
        """How many pairs of places (B, K) the loss sums over; those in one place where ties count."""
        ties = 0 if self.config.ties == "left_out" else int(tied(places).sum())
        return int(better_than(places).sum()) + ties
