"""BLIP's image and text encoder together, as ImageReward uses them.

Letters: B rows, P patches and the class token, T tokens, D and V the widths of the text and image encoder.
"""

from __future__ import annotations

from torch import Tensor, nn

from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.backbones.text import TextEncoder
from rewardmodel.learning.model.backbones.vision import VisualEncoder


class Blip(nn.Module):
    """Image and text encoder under the names the published checkpoints use.

    Its image features are one vector a patch, (B, P, V).
    """

    def __init__(self, vision: VisionConfig, text: TextConfig, projection: int | None = None) -> None:
        super().__init__()
        self.visual_encoder = VisualEncoder(vision)
        self.text_encoder = TextEncoder(text, vision.width)
        if projection is not None:  # of the contrastive loss: no reward uses them, the BLIP baseline does
            self.vision_proj = nn.Linear(vision.width, projection)
            self.text_proj = nn.Linear(text.width, projection)
        self.unused = ("vision_proj.", "text_proj.")

    def encode_until(self, images: Tensor, block: int) -> Tensor:
        """What vision block number `block` is given: (B, 3, H, W) normalised -> (B, P, V)."""
        return self.visual_encoder.until(images, block)

    def encode_from(self, hidden: Tensor, block: int) -> Tensor:
        """Image features, from what `encode_until` gave for the same block: (B, P, V) -> (B, P, V)."""
        return self.visual_encoder.onward(hidden, block)

    def read(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """tokens, mask (B, T), features (B, P, V) -> (B, D), the prompt having seen the image.

        With `rows` (B,), features (N, P, V) of which prompt i looks at number rows[i].
        """
        return self.text_encoder(tokens, mask, features, rows=rows)[:, 0]

    @property
    def hidden_shape(self) -> tuple[int, int]:
        _, patches, width = self.visual_encoder.pos_embed.shape
        return patches, width

    @property
    def towers(self) -> tuple[tuple[nn.Module, str, int], ...]:
        """Each encoder, what it calls its layers, and how many there are."""
        vision, text = self.visual_encoder, self.text_encoder
        return (vision, "blocks", len(vision.blocks)), (text, "layer", len(text.encoder.layer))

    def recompute(self, on: bool) -> None:
        self.visual_encoder.recomputes = self.text_encoder.recomputes = on

    @property
    def frozen_blocks(self) -> int:
        return self.visual_encoder.frozen_blocks

    @property
    def frozen_noise(self) -> bool:
        return self.visual_encoder.frozen_noise
