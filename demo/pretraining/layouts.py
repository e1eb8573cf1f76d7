"""What a caption says of a picture: the text encoder's whole training, before any picture.

As Stable Diffusion's, it is trained on something else first and then stays as it is. A CLIP text encoder
reads from left to right, so that in "a red circle left of a blue square" no word knows both what is red and
where it stands, unless a later one carries it along. Trained on pictures alone it did not come to do so, and
when it had learned to, it forgot: after 1,800 steps of drawing, a caption whose things had changed places
fitted its picture as well as the true one. Told what stands where, it learns it in a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demo.pretraining.autoencoder import OnStep
from demo.pretraining.tokens import LENGTH
from demo.world.captions import BACKGROUNDS, COLOURS, SHAPES
from demo.world.scenes import FEW_SPOTS, Scene, caption

PLACES = [(x, y) for y in FEW_SPOTS for x in FEW_SPOTS]
NOTHING = 0  # at a place, or stated; colours, shapes and backgrounds count from 1


@dataclass(frozen=True)
class LayoutConfig:
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 1e-3  # at its peak, after a tenth of the steps


class LayoutReader(nn.Module):
    """Reads from a caption's words what stands at each place and before what, as a UNet's attention could."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(len(PLACES) + 1, width))  # the last: behind all
        self.attention = nn.MultiheadAttention(width, num_heads=4, batch_first=True)
        self.colour = nn.Linear(width, len(COLOURS) + 1)
        self.shape = nn.Linear(width, len(SHAPES) + 1)
        self.background = nn.Linear(width, len(BACKGROUNDS) + 1)

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """words (B, T, D) -> logits of colours (B, 9, 7), of shapes (B, 9, 5), of the background (B, 4)."""
        read, _ = self.attention(self.places.expand(len(words), -1, -1), words, words, need_weights=False)
        return self.colour(read[:, :-1]), self.shape(read[:, :-1]), self.background(read[:, -1])


def layout(scene: Scene) -> list[tuple[int, int]]:
    """The colour and the shape at each place, 0 for nothing."""
    there = {
        (thing.x, thing.y): (1 + COLOURS.index(thing.colour), 1 + SHAPES.index(thing.shape))
        for thing in scene.things
    }
    return [there.get(place, (NOTHING, NOTHING)) for place in PLACES]


def stated_background(scene: Scene) -> int:
    background = scene.statement.background
    return NOTHING if background is None else 1 + BACKGROUNDS.index(background)


def learn_layouts(
    text_encoder: Any, tokenizer: Any, *, scenes: Sequence[Scene], config: LayoutConfig, on_step: OnStep
) -> None:
    """Train the text encoder in place to tell from captions what stands where in their scenes."""
    layouts = torch.tensor([layout(scene) for scene in scenes])  # (N, 9, 2)
    backgrounds = torch.tensor([stated_background(scene) for scene in scenes])  # (N,)
    captions = [caption(scene) for scene in scenes]
    tokens = tokenizer(captions, padding="max_length", max_length=LENGTH, return_tensors="pt").input_ids
    reader = LayoutReader(text_encoder.config.hidden_size)
    parameters = [*text_encoder.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.1, cycle_momentum=False
    )
    for step in range(1, config.steps + 1):
        batch = torch.randint(len(scenes), (config.batch,))
        colours, shapes, background = reader(text_encoder(tokens[batch])[0])
        colour, shape = layouts[batch].unbind(2)  # (B, 9) each
        loss = F.cross_entropy(colours.mT, colour) + F.cross_entropy(shapes.mT, shape)
        loss = loss + F.cross_entropy(background, backgrounds[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        on_step(step, loss.item())
