"""What a backbone is: the class behind which its encoders stand, and the config that builds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor, nn

from rewardmodel.learning.model.backbones.config import ImageInput


class Backbone(nn.Module, ABC):
    """Encodes images, and fuses a prompt with what an image is, into the vector that the heads see.

    An image is encoded in two parts, so that the output of frozen blocks can be cached: `encode_prefix`, the
    patch embedding and the first blocks, and `encode_suffix`, the rest.

    Letters: N rows, T tokens, P patches and V their width, D the width of what the heads see.
    """

    unused: tuple[str, ...] = ()  # prefixes of parameter names that no reward depends on; they never train

    @abstractmethod
    def encode_prefix(self, images: Tensor, block: int) -> Tensor:
        """Return the input of image block number `block`: (N, 3, H, W) normalised -> (N, P, V)."""

    @abstractmethod
    def encode_suffix(self, hidden: Tensor, block: int) -> Tensor:
        """Return image features from the output of `encode_prefix` for the same block.

        (N, P, V) -> (N, P', V'), what `fuse` takes.
        """

    def encode(self, images: Tensor) -> Tensor:
        """Return image features, for `fuse`: (N, 3, H, W) normalised -> (N, P', V')."""
        return self.encode_suffix(self.encode_prefix(images, 0), 0)

    @abstractmethod
    def fuse(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """Read prompts together with image features: tokens, mask (N, T), features (N, P', V') -> (N, D).

        Args: rows: (N,) int64, the image of each prompt where fewer features than prompts are given; what
            depends on the image alone is then computed once an image.
        """

    @property
    @abstractmethod
    def hidden_shape(self) -> tuple[int, int]:
        """P and V of what `encode_prefix` returns for one image."""

    @property
    @abstractmethod
    def encoders(self) -> tuple[tuple[nn.Module, str, int], ...]:
        """The order of freezing: each encoder, the name of its list of layers, and how many there are.

        The image encoder is first, and holds all that `encode_prefix` depends on.
        """

    @abstractmethod
    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Run each block of the encoders again in the backward pass, or no longer."""

    @property
    @abstractmethod
    def frozen_blocks(self) -> int:
        """How many image blocks, from the first on, do not train at all; see `count_frozen`."""

    @property
    @abstractmethod
    def stochastic_prefix(self) -> bool:
        """Whether dropout or drop path makes the frozen blocks' output differ between training steps."""


class BackboneConfig(Protocol):
    """The shape of a backbone, as config.json holds it: a frozen dataclass, registered by its kind."""

    backbone_name: ClassVar[str]  # of the backbone and of its head in a checkpoint's weights
    head_name: ClassVar[str]
    tokenizer_class: ClassVar[str]  # transformers' name of the class that reads the tokenizer's files
    meta_init: ClassVar[bool]  # it holds only what checkpoints hold, and may be built on the meta device

    @property
    def kind(self) -> str: ...

    @property
    def image_input(self) -> ImageInput:
        """Size, fit and normalisation of the images it takes."""

    @property
    def prompt_length(self) -> int:
        """How many tokens of a prompt it reads, as it was published."""

    @property
    def fused_width(self) -> int | None:
        """D, where heads for aspects can learn from it; None where a cosine is all there is."""

    @property
    def image_encoder(self) -> object:
        """The settings on which `encode_prefix` depends; their repr keys the cache of its output."""

    def build(self) -> Backbone:
        """Return the backbone, with fresh weights."""

    def build_head(self) -> nn.Module:
        """Return the reward's head, (N, D) -> (N,), with fresh weights."""

    def resize(self, weights: Mapping[str, Tensor], image_size: int) -> tuple[Self, dict[str, Tensor]]:
        """Return the config and the weights, a checkpoint's, for images of another size.

        Raises: ValueError when it cannot take images of that size.
        """

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `dataclasses.asdict` wrote. Raises: TypeError or KeyError on a wrong field."""


def count_frozen(stem: Iterable[nn.Parameter], blocks: Iterable[nn.Module]) -> int:
    """Count the blocks, from the first on, that do not train at all; 0 when the stem before them trains."""
    if any(parameter.requires_grad for parameter in stem):
        return 0
    trains = [any(p.requires_grad for p in block.parameters()) for block in blocks]
    return (*trains, True).index(True)
