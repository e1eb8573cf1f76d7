"""Run by torchrun: one batch's gradients in float64, added up over the processes and written to a file."""

import sys
from pathlib import Path

import torch

from rewardmodel.learning import checkpoints
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.batches import collate, micro_batches
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.rankings import load_rankings
from rewardmodel.learning.losses import Objective
from rewardmodel.learning.model.reward import freeze
from rewardmodel.learning.training.distributed import process_group


def gradients(dataset: Path, initial: Path, to: Path) -> None:
    """Of a batch of twelve rankings, and of one ranking."""
    torch.set_num_threads(1)
    with process_group("cpu") as group:
        checkpoint = checkpoints.load(initial)
        seen = [_of_batch(checkpoint, load_rankings(dataset, "train")[:count], group) for count in (12, 1)]
        if group.is_main_process:
            torch.save(seen, to)


def _of_batch(checkpoint, rankings, group):
    model = checkpoint.model.double()
    model.zero_grad()
    freeze(model, 0.4)
    objective, total = Objective(RewardConfig()), 0.0
    for part in micro_batches(group.shard(rankings), 4):
        batch = collate(
            part,
            pixels=Pixels(checkpoint.config.backbone.image_input),
            tokenizer=checkpoint.tokenizer,
            max_tokens=35,
            device=group.device,
        )
        loss = objective(model(batch.tokens, batch.mask, batch.images.double(), batch.real), batch)
        loss.backward()
        total += loss.item()
    group.all_reduce_gradients(model.parameters())
    [total] = group.sum(total)
    return {"loss": total, "gradients": {name: p.grad for name, p in model.named_parameters()}}


if __name__ == "__main__":
    gradients(*map(Path, sys.argv[1:]))
