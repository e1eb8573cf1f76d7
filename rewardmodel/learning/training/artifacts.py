"""Heads for artifacts: fitted once the reward is learned, to what its image encoder sees, which stays so.

They cost the reward nothing, and fit the checkpoint that is kept, however early in the run that was.

Letters: N images, P patches and the class token, V the width of the image encoder.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import normalise
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.losses import aspect_loss
from rewardmodel.learning.model.aspects import questions
from rewardmodel.learning.model.heads import aspect_score
from rewardmodel.learning.model.reward import RewardModel

# All ours. The features of so many images at 224 px are 1.7 GB with ViT-L; a head has 70,000 weights.
MOST_IMAGES = 4096
EPOCHS, BATCH = 24, 48
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05

Row = tuple[Ranking, int]  # an image: a ranking, and which of its images


@dataclass(frozen=True)
class RatedImages:
    """What the image encoder sees of images, (N, P, V) bfloat16, and what was said of them.

    Attributes:
        answers: by aspect, (N, questions): 1 for yes, 0 for no, NaN where nobody said.
    """

    features: Tensor
    answers: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.features)


def fit_artifact_heads(
    model: RewardModel,
    *,
    train: Sequence[Ranking],
    validation: Sequence[Ranking],
    pixels: Pixels,
    seed: int,
    should_stop: Callable[[], bool],
) -> dict[str, tuple[float, float]]:
    """Fit the heads that read patches by the cross-entropy of what people said; nothing else of it changes.

    Each head keeps the epoch with its lowest loss on the validation images, or, where nobody said anything of
    those, the last one.

    Args:
        model: in evaluation mode, on its device.
        seed: of the images taken where there are too many, of the batches and the dropout.
    Returns: mean and deviation of each head's score on the validation images.
    Raises: Interrupted; UnreadableImage.
    """
    heads = model.artifact_heads
    with torch.random.fork_rng(devices=None if _device(model).type == "cuda" else []):
        torch.manual_seed(seed)
        rated = [row for row in _rows(train) if any(_answer(name, *row) is not None for name in heads)]
        seen = _look(model, rated, pixels, should_stop)
        held_out = _look(model, _rows(validation), pixels, should_stop)
        scales = {}
        for name, head in heads.items():
            _fit(name, head, seen, held_out, should_stop)
            scores = aspect_score(name, _logits(head, held_out)).double()
            scales[name] = (scores.mean().item(), scores.std(correction=0).item() or 1.0)
    return scales


def _rows(rankings: Sequence[Ranking]) -> list[Row]:
    """Return every image of the rankings, as often as it was ranked."""
    return [(ranking, at) for ranking in rankings for at in range(len(ranking.images))]


def _look(
    model: RewardModel, rows: Sequence[Row], pixels: Pixels, should_stop: Callable[[], bool]
) -> RatedImages:
    """Encode the images, a sample of them where there are too many."""
    chosen = [rows[index] for index in torch.randperm(len(rows))[:MOST_IMAGES].sort().values.tolist()]
    features = []
    for start in range(0, len(chosen), BATCH):
        if should_stop():
            raise Interrupted
        files: list[Path] = [ranking.images[at] for ranking, at in chosen[start : start + BATCH]]
        batch = torch.stack([pixels.get(file) for file in files]).to(_device(model))
        with torch.no_grad():
            encoded = model.encode(normalise(batch, model.config.image_input))  # (N, P, V)
        features.append(encoded.to("cpu", torch.bfloat16))
    answers = {name: _targets(name, chosen) for name in model.artifact_heads}
    return RatedImages(torch.cat(features), answers)


def _targets(name: str, rows: Sequence[Row]) -> Tensor:
    """(N, questions)."""
    targets = torch.full((len(rows), questions(name)), torch.nan)
    for number, row in enumerate(rows):
        answer = _answer(name, *row)
        if answer is not None:
            targets[number] = torch.tensor(answer, dtype=torch.float32)
    return targets


def _answer(name: str, ranking: Ranking, at: int) -> tuple[bool, ...] | None:
    of_images = ranking.aspects.get(name)
    return of_images[at] if of_images else None


def _fit(
    name: str,
    head: torch.nn.Module,
    seen: RatedImages,
    held_out: RatedImages,
    should_stop: Callable[[], bool],
) -> None:
    device = next(head.parameters()).device
    known = (~seen.answers[name].isnan().any(dim=1)).nonzero().squeeze(1)  # (known,)
    if not len(known):
        return
    head.requires_grad_(True)
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * math.ceil(len(known) / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps, pct_start=0.1)
    lowest, best = math.inf, copy.deepcopy(head.state_dict())
    for _ in range(EPOCHS):
        if should_stop():
            raise Interrupted
        head.train()
        order = known[torch.randperm(len(known))]
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            logits = head(seen.features[rows].to(device).float())
            loss = aspect_loss(logits, seen.answers[name][rows].to(device))
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
        loss_now = aspect_loss(_logits(head, held_out), held_out.answers[name]).item()
        if not loss_now >= lowest:  # lower, or none that is a number: nobody said anything there
            lowest, best = loss_now, copy.deepcopy(head.state_dict())
    head.load_state_dict(best)
    head.requires_grad_(False).eval()


@torch.no_grad()
def _logits(head: torch.nn.Module, images: RatedImages) -> Tensor:
    """(N, questions), on the CPU; the head is left in evaluation mode."""
    head.eval()
    device = next(head.parameters()).device
    parts = (images.features[start : start + BATCH] for start in range(0, len(images), BATCH))
    return torch.cat([head(part.to(device).float()).cpu() for part in parts])


def _device(model: RewardModel) -> torch.device:
    return next(model.parameters()).device
