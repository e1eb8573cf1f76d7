"""BLIP's image and text encoder together, as ImageReward uses them.

Letters: N rows, P patches and the class token, T tokens, D and V the widths of the text and image encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.backbones.backbone import Backbone, count_frozen
from rewardmodel.learning.model.backbones.config import ImageInput, TextConfig, VisionConfig
from rewardmodel.learning.model.backbones.text import TextEncoder
from rewardmodel.learning.model.backbones.vision import DropPath, VisualEncoder
from rewardmodel.learning.model.heads import HeadConfig, RewardHead


class Blip(Backbone):
    """Image and text encoder under the names the published checkpoints use.

    Its image features are one vector a patch, (N, P, V).
    """

    unused = ("vision_proj.", "text_proj.")

    def __init__(self, vision: VisionConfig, text: TextConfig, projection: int | None = None) -> None:
        super().__init__()
        self.visual_encoder = VisualEncoder(vision)
        self.text_encoder = TextEncoder(text, vision.width)
        if projection is not None:  # of the contrastive loss: no reward uses them, the BLIP baseline does
            self.vision_proj = nn.Linear(vision.width, projection)
            self.text_proj = nn.Linear(text.width, projection)

    def encode_prefix(self, images: Tensor, block: int) -> Tensor:
        """(N, 3, H, W) normalised -> (N, P, V)."""
        return self.visual_encoder.forward_prefix(images, block)

    def encode_suffix(self, hidden: Tensor, block: int) -> Tensor:
        """(N, P, V) -> (N, P, V)."""
        return self.visual_encoder.forward_suffix(hidden, block)

    def fuse(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return [CLS] of the prompt, having attended to the image: (N, T), (N, P, V) -> (N, D)."""
        return self.text_encoder(tokens, mask, features, rows=rows)[:, 0]

    @property
    def hidden_shape(self) -> tuple[int, int]:
        _, patches, width = self.visual_encoder.pos_embed.shape
        return patches, width

    @property
    def encoders(self) -> tuple[tuple[nn.Module, str, int], ...]:
        vision, text = self.visual_encoder, self.text_encoder
        return (vision, "blocks", len(vision.blocks)), (text, "layer", len(text.encoder.layer))

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        self.visual_encoder.gradient_checkpointing = self.text_encoder.gradient_checkpointing = enabled

    @property
    def frozen_blocks(self) -> int:
        vision = self.visual_encoder
        stem = [vision.cls_token, vision.pos_embed, *vision.patch_embed.parameters()]
        return count_frozen(stem, vision.blocks)

    @property
    def stochastic_prefix(self) -> bool:
        frozen = self.visual_encoder.blocks[: self.frozen_blocks]
        return any(isinstance(part, DropPath) and part.rate > 0 for part in frozen.modules())


@dataclass(frozen=True)
class BlipConfig:
    """BLIP and the head on it. Default: ViT-B/16, as `model_base.pth` has it.

    Sources: BLIP's configs; ImageReward's published head.
    """

    backbone_name: ClassVar[str] = "blip"
    head_name: ClassVar[str] = "mlp"
    tokenizer_class: ClassVar[str] = "BertTokenizer"
    meta_init: ClassVar[bool] = True

    vision: VisionConfig = field(default_factory=VisionConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    projection: int | None = None  # width of the two projections that no reward uses; kept if a file has them
    kind: Literal["blip"] = "blip"

    @property
    def image_input(self) -> ImageInput:
        return ImageInput(self.vision.image_size)

    @property
    def prompt_length(self) -> int:
        return 35

    @property
    def fused_width(self) -> int:
        return self.text.width

    @property
    def image_encoder(self) -> VisionConfig:
        return self.vision

    def build(self) -> Blip:
        return Blip(self.vision, self.text, self.projection)

    def build_head(self) -> RewardHead:
        return RewardHead(self.head, self.text.width)

    def resize(self, weights: Mapping[str, Tensor], image_size: int) -> tuple[BlipConfig, dict[str, Tensor]]:
        """Interpolate the table of positions, as BLIP's own code does it.

        Raises: ValueError when the size is no multiple of a patch.
        """
        vision = dataclasses.replace(self.vision, image_size=image_size)
        if image_size % vision.patch:
            raise ValueError(f"{image_size} pixels are no multiple of {vision.patch}")
        name = "blip.visual_encoder.pos_embed"
        cls, patches = weights[name][:, :1], weights[name][:, 1:]  # (1, 1, V), (1, P - 1, V)
        sides = [self.vision.image_size // vision.patch, image_size // vision.patch]
        grid = patches.float().transpose(1, 2).reshape(1, -1, sides[0], sides[0])  # (1, V, side, side)
        grid = F.interpolate(grid, (sides[1], sides[1]), mode="bicubic")
        patches = grid.flatten(2).transpose(1, 2)  # (1, P - 1, V)
        positions = torch.cat([cls, patches.to(cls.dtype)], dim=1)
        return dataclasses.replace(self, vision=vision), {**weights, name: positions}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BlipConfig:
        parts = {
            "vision": VisionConfig(**values["vision"]),
            "text": TextConfig(**values["text"]),
            "head": HeadConfig(**{name: tuple(rates) for name, rates in values["head"].items()}),
        }
        return cls(**{**values, **parts})


def blip_vit_large() -> BlipConfig:
    """BLIP with ViT-L/16, as `model_large.pth` and `ImageReward.pt` have it."""
    vision = VisionConfig(width=1024, layers=24, heads=16, feed_forward=4096, drop_path=0.1)
    return BlipConfig(vision=vision, projection=256)
