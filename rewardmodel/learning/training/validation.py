"""How well a model in training orders rankings that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from rewardmodel.learning.data.rankings import Batch
from rewardmodel.learning.losses import better_than, margins
from rewardmodel.learning.training.distributed import ProcessGroup
from rewardmodel.learning.training.progress import Validation


@torch.no_grad()
def validate(judged: Iterable[tuple[Batch, Tensor]], group: ProcessGroup) -> Validation:
    """Loss and accuracy of the paper's pairs, and the mean and deviation of the rewards, over all processes.

    Args: judged: this process's share, each batch with its rewards (B, K) by a model in evaluation mode.
    """
    losses, raw, right = [torch.zeros(0)], [torch.zeros(0)], 0
    with group.error_barrier():
        for batch, rewards in judged:
            own = rewards.double()  # (B, K)
            margin = margins(own)[better_than(batch.places)]
            losses.append(-F.logsigmoid(margin).cpu())
            right += int((margin > 0).sum())
            raw.append(own[batch.real].cpu())
    loss, seen = torch.cat(losses), torch.cat(raw)
    own_sums = loss.sum().item(), right, len(loss), seen.sum().item(), len(seen)
    total, ordered, pairs, rewarded, images = group.sum(*own_sums)
    mean = rewarded / images
    [squares] = group.sum((seen - mean).square().sum().item())
    std = math.sqrt(squares / images)
    return Validation(total / pairs, ordered / pairs, mean, std if std > 0 else 1.0)
