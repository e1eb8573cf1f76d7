"""CLIP and SigLIP: transformers' own modules, behind what a reward model asks of its backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.backbones.config import DualConfig
from rewardmodel.learning.model.backbones.vision import count_frozen


class Dual(nn.Module):
    """Image and text encoder that meet in a cosine, under transformers' names.

    Its image features are one projected vector an image, (B, 1, D).
    """

    unused: tuple[str, ...] = ()

    def __init__(self, config: DualConfig) -> None:
        super().__init__()
        whole = build(config)
        self.kind = config.kind
        self.vision_model, self.text_model = whole.vision_model, whole.text_model
        if config.kind == "clip":
            self.visual_projection, self.text_projection = whole.visual_projection, whole.text_projection
        self.positions = whole.config.text_config.max_position_embeddings
        self.padding = whole.config.text_config.pad_token_id

    def encode_until(self, images: Tensor, block: int) -> Tensor:
        """What vision block number `block` is given: (B, 3, H, W) normalised -> (B, P, V)."""
        x = self.vision_model.embeddings(images)
        if self.kind == "clip":
            x = self.vision_model.pre_layrnorm(x)
        return self._through(self.vision_model.encoder.layers[:block], x)

    def encode_from(self, hidden: Tensor, block: int) -> Tensor:
        """Image features, from what `encode_until` gave for the same block: (B, P, V) -> (B, 1, D)."""
        vision = self.vision_model
        x = self._through(vision.encoder.layers[block:], hidden)
        if self.kind == "clip":
            return self.visual_projection(vision.post_layernorm(x[:, :1]))
        return vision.head(vision.post_layernorm(x))[:, None]

    def read(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """tokens, mask (B, T), features (B, 1, D) -> (B, D), whose sum is the cosine; float32 at least.

        With `rows` (B,), features (N, 1, D) of which prompt i is compared with number rows[i].
        """
        if rows is not None:
            features = features[rows]
        if self.kind == "clip":
            text = self.text_projection(self.text_model(tokens, attention_mask=mask).pooler_output)
        else:  # reads all its positions, padding too, and was trained so
            words = tokens.masked_fill(mask == 0, self.padding)
            words = F.pad(words, (0, self.positions - words.shape[1]), value=self.padding)  # (B, positions)
            text = self.text_model(words).pooler_output
        with torch.autocast(text.device.type, enabled=False):
            text, image = (x if x.dtype == torch.float64 else x.float() for x in (text, features[:, 0]))
            return F.normalize(text, dim=-1) * F.normalize(image, dim=-1)

    @property
    def hidden_shape(self) -> tuple[int, int]:
        patches, width = self.vision_model.embeddings.position_embedding.weight.shape
        return patches, width

    @property
    def towers(self) -> tuple[tuple[nn.Module, str, int], ...]:
        """Each encoder, what it calls its layers, and how many there are."""
        encoders = (self.vision_model, self.text_model)
        return tuple((encoder, "layers", len(encoder.encoder.layers)) for encoder in encoders)

    def recompute(self, on: bool) -> None:
        for encoder in (self.vision_model, self.text_model):
            if on:
                encoder.activation_checkpointing_enable({"use_reentrant": False})
            else:
                encoder.activation_checkpointing_disable()

    @property
    def frozen_blocks(self) -> int:
        vision = self.vision_model
        before = list(vision.embeddings.parameters())
        if self.kind == "clip":
            before += vision.pre_layrnorm.parameters()
        return count_frozen(before, vision.encoder.layers)

    @property
    def frozen_noise(self) -> bool:
        return self.frozen_blocks > 0 and self.vision_model.config.attention_dropout > 0

    def _through(self, blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x, attention_mask=None)
        return x


def build(config: DualConfig) -> Any:
    """transformers' whole model of these settings."""
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    if config.kind == "clip":
        return CLIPModel(CLIPConfig.from_dict(dict(config.settings)))
    return SiglipModel(SiglipConfig.from_dict(dict(config.settings)))
