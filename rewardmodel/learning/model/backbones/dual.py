"""CLIP and SigLIP: transformers' own modules, behind what a reward model asks of its backbone.

Letters: N rows, P patches and a class token if any, V their width, T tokens, D the width of both projections.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.backbones.backbone import Backbone, count_frozen
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.model.heads import SimilarityHead

DEFAULT_POSITIONS = {"clip": 77, "siglip": 64}  # transformers', which its configs leave out


class Dual(Backbone):
    """Image and text encoder that meet in a cosine, under transformers' names.

    Its image features are one projected vector an image, (N, 1, D).
    """

    def __init__(self, model: Any) -> None:
        """Args: model: transformers' own, whose encoders it takes."""
        super().__init__()
        self.vision_model, self.text_model = model.vision_model, model.text_model

    @abstractmethod
    def embed_images(self, images: Tensor) -> Tensor:
        """Return the input of the first block: (N, 3, H, W) normalised -> (N, P, V)."""

    @abstractmethod
    def pool_images(self, hidden: Tensor) -> Tensor:
        """Return the projected image, from the output of the last block: (N, P, V) -> (N, 1, D)."""

    @abstractmethod
    def encode_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the projected prompt: tokens, mask (N, T) -> (N, D)."""

    def image_stem(self) -> list[nn.Parameter]:
        """Return what lies before the first image block."""
        return list(self.vision_model.embeddings.parameters())

    def encode_prefix(self, images: Tensor, block: int) -> Tensor:
        """(N, 3, H, W) normalised -> (N, P, V)."""
        return _through(self.vision_model.encoder.layers[:block], self.embed_images(images))

    def encode_suffix(self, hidden: Tensor, block: int) -> Tensor:
        """(N, P, V) -> (N, 1, D)."""
        return self.pool_images(_through(self.vision_model.encoder.layers[block:], hidden))

    def fuse(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """tokens, mask (N, T), features (N, 1, D) -> (N, D), whose sum is the cosine; float32 at least."""
        if rows is not None:
            features = features[rows]
        text = self.encode_text(tokens, mask)
        with torch.autocast(text.device.type, enabled=False):
            text, image = (x if x.dtype == torch.float64 else x.float() for x in (text, features[:, 0]))
            return F.normalize(text, dim=-1) * F.normalize(image, dim=-1)

    @property
    def hidden_shape(self) -> tuple[int, int]:
        patches, width = self.vision_model.embeddings.position_embedding.weight.shape
        return patches, width

    @property
    def encoders(self) -> tuple[tuple[nn.Module, str, int], ...]:
        encoders = (self.vision_model, self.text_model)
        return tuple((encoder, "layers", len(encoder.encoder.layers)) for encoder in encoders)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        for encoder in (self.vision_model, self.text_model):
            if enabled:
                encoder.activation_checkpointing_enable({"use_reentrant": False})
            else:
                encoder.activation_checkpointing_disable()

    @property
    def frozen_blocks(self) -> int:
        return count_frozen(self.image_stem(), self.vision_model.encoder.layers)

    @property
    def stochastic_prefix(self) -> bool:
        return self.frozen_blocks > 0 and self.vision_model.config.attention_dropout > 0


class Clip(Dual):
    """CLIP: a class token is what is projected, and a prompt is read as far as it goes."""

    def __init__(self, config: DualConfig) -> None:
        from transformers import CLIPConfig, CLIPModel

        model = CLIPModel(CLIPConfig.from_dict(dict(config.settings)))
        super().__init__(model)
        self.visual_projection, self.text_projection = model.visual_projection, model.text_projection

    def embed_images(self, images: Tensor) -> Tensor:
        return self.vision_model.pre_layrnorm(self.vision_model.embeddings(images))

    def pool_images(self, hidden: Tensor) -> Tensor:
        return self.visual_projection(self.vision_model.post_layernorm(hidden[:, :1]))

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.text_projection(self.text_model(tokens, attention_mask=mask).pooler_output)

    def image_stem(self) -> list[nn.Parameter]:
        return [*super().image_stem(), *self.vision_model.pre_layrnorm.parameters()]


class Siglip(Dual):
    """SigLIP: patches are pooled by attention, and all positions of a prompt are read, as it was trained."""

    def __init__(self, config: DualConfig) -> None:
        from transformers import SiglipConfig, SiglipModel

        model = SiglipModel(SiglipConfig.from_dict(dict(config.settings)))
        super().__init__(model)
        self.positions = model.config.text_config.max_position_embeddings
        self.padding = model.config.text_config.pad_token_id

    def embed_images(self, images: Tensor) -> Tensor:
        return self.vision_model.embeddings(images)

    def pool_images(self, hidden: Tensor) -> Tensor:
        return self.vision_model.head(self.vision_model.post_layernorm(hidden))[:, None]

    def encode_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        words = tokens.masked_fill(mask == 0, self.padding)
        words = F.pad(words, (0, self.positions - words.shape[1]), value=self.padding)  # (N, positions)
        return self.text_model(words).pooler_output


def _through(blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x, attention_mask=None)
    return x


@dataclass(frozen=True)
class DualConfig:
    """An image and a text encoder that meet in a cosine: CLIP or SigLIP, as transformers builds them."""

    backbone_name: ClassVar[str] = "dual"
    head_name: ClassVar[str] = "similarity"
    tokenizer_class: ClassVar[str] = "AutoTokenizer"
    meta_init: ClassVar[bool] = False  # transformers' modules hold more than their weights

    settings: Mapping[str, Any]  # transformers' config of the model
    image_input: ImageInput
    kind: Literal["clip", "siglip"]

    @property
    def prompt_length(self) -> int:
        settings = self.settings.get("text_config") or {}
        return settings.get("max_position_embeddings", DEFAULT_POSITIONS[self.kind])

    @property
    def fused_width(self) -> None:
        return None

    @property
    def image_encoder(self) -> object:
        return self.settings.get("vision_config")

    def build(self) -> Dual:
        return {"clip": Clip, "siglip": Siglip}[self.kind](self)

    def build_head(self) -> SimilarityHead:
        return SimilarityHead(biased=self.kind == "siglip")

    def resize(self, weights: Mapping[str, Tensor], image_size: int) -> tuple[DualConfig, dict[str, Tensor]]:
        raise ValueError(f"a {self.kind} model keeps its image size")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DualConfig:
        image = values["image_input"]
        colours = {"mean": tuple(image["mean"]), "std": tuple(image["std"])}
        return cls(**{**values, "image_input": ImageInput(**{**image, **colours})})
