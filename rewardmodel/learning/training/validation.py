"""How well a model in training orders rankings that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from rewardmodel.learning.data import Batch
from rewardmodel.learning.losses import better_than, margins
from rewardmodel.learning.training.progress import Validation


@torch.no_grad()
def validate(batches: Iterable[Batch], rewards: Callable[[Batch], Tensor]) -> Validation:
    """Loss and accuracy of the paper's pairs, and the mean and deviation of the rewards.

    Args: rewards: of a batch, (B, K), from a model in evaluation mode.
    """
    losses, raw, right = [], [], 0
    for batch in batches:
        own = rewards(batch).double()  # (B, K)
        margin = margins(own)[better_than(batch.places)]
        losses.append(-F.logsigmoid(margin))
        right += int((margin > 0).sum())
        raw.append(own[batch.real])
    loss, seen = torch.cat(losses), torch.cat(raw)
    std = seen.std(correction=0).item()
    return Validation(loss.mean().item(), right / len(loss), seen.mean().item(), std if std > 0 else 1.0)
