"""The reward model, and which of its layers a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.aspects import ARTIFACTS
from rewardmodel.learning.model.backbones import Backbone, BackboneConfig
from rewardmodel.learning.model.heads import ArtifactHead, AspectHead


class RewardModel(nn.Module):
    """How well an image answers its prompt: higher is better, no unit. Source: arXiv 2304.05977, 3.1.

    Beside the reward's head it may have heads that predict what people would answer on single aspects.
    """

    def __init__(
        self, config: BackboneConfig, aspects: Sequence[str] = (), *, artifact_heads: bool = True
    ) -> None:
        super().__init__()
        self.config = config
        self.add_module(config.backbone_name, config.build())
        self.add_module(config.head_name, config.build_head())
        self.aspect_heads = nn.ModuleDict()
        self.set_aspects(aspects, artifact_heads=artifact_heads)

    @property
    def backbone(self) -> Backbone:
        """What encodes images and prompts."""
        return cast(Backbone, self.get_submodule(self.config.backbone_name))

    @property
    def head(self) -> nn.Module:
        """What makes the reward of what the backbone fused."""
        return self.get_submodule(self.config.head_name)

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """All that stands on the backbone, and always trains in full."""
        return (self.head, *self.aspect_heads.values())

    def set_aspects(self, aspects: Sequence[str], *, artifact_heads: bool = True) -> list[str]:
        """Have heads for these aspects and no others; those that exist in that form keep their weights.

        Args: artifact_heads: whether what the picture alone answers is read off its patches. Heads of older
            checkpoints read all aspects off what has met the prompt.
        Returns: the aspects whose head is new.
        Raises: CheckpointError when nothing in the model has seen prompt and image together.
        """
        width = self.config.fused_width
        if aspects and width is None:
            raise CheckpointError(
                f"a {self.config.kind} model meets its prompt in a cosine alone: nothing in it could tell "
                + ", ".join(aspects)
            )
        existing, new = self.aspect_heads, []
        self.aspect_heads = nn.ModuleDict()
        for name in aspects:
            assert width is not None
            form = ArtifactHead if artifact_heads and name in ARTIFACTS else AspectHead
            if name in existing and isinstance(existing[name], form):
                self.aspect_heads[name] = existing[name]
                continue
            new.append(name)
            self.aspect_heads[name] = form(name, self.feature_width if form is ArtifactHead else width)
        return new

    @property
    def artifact_heads(self) -> dict[str, ArtifactHead]:
        """Those heads for aspects that read the patches of the picture, by aspect."""
        return {name: head for name, head in self.aspect_heads.items() if isinstance(head, ArtifactHead)}

    @property
    def feature_width(self) -> int:
        """V, of the image features."""
        return self.backbone.hidden_shape[1]

    def encode(self, images: Tensor) -> Tensor:
        """Return image features: (N, 3, H, W) normalised -> (N, P, V)."""
        return self.backbone.encode(images)

    def score_features(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> Tensor:
        """Return one raw reward a row: tokens, mask (N, T), features (N, P, V) of `encode` -> (N,).

        Args: rows: (N,) int64, the image of each row where there are fewer features than rows; what depends
            on the image alone is then computed once an image.
        """
        return self.head(self.backbone.fuse(tokens, mask, features, rows))

    def forward_features(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `score_features` does, and the logits of each aspect, (N, questions)."""
        rewards, logits = self._forward_fused(tokens, mask, features, rows)
        for name, head in self.artifact_heads.items():
            of_images = head(features)
            logits[name] = of_images if rows is None else of_images[rows]
        return rewards, {name: logits[name] for name in self.aspect_heads}

    def _forward_fused(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `forward_features`, without the heads that read patches."""
        fused = self.backbone.fuse(tokens, mask, features, rows)  # (N, D)
        heads = {name: head for name, head in self.aspect_heads.items() if name not in self.artifact_heads}
        return self.head(fused), {name: head(fused) for name, head in heads.items()}

    def score(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """Return one raw reward a row: tokens, mask (N, T), images (N, 3, H, W) normalised -> (N,)."""
        return self.score_features(tokens, mask, self.encode(images))

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        block: int | None = None,
    ) -> Tensor:
        """Return the rewards of K images of each of B prompts; each image is encoded once.

        Args:
            tokens, mask: (B, T) int64; mask is 0 where a token is padding.
            images: (B, K, 3, H, W), normalised; with `block`, (B, K, P, V), the input of that image block.
            real: (B, K) bool, False where a prompt has fewer images; those cost nothing and get 0.
        Returns: (B, K), float32 at least.
        """
        return self.forward_with_aspects(tokens, mask, images, real, block)[0]

    def forward_with_aspects(
        self,
        tokens: Tensor,
        mask: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        block: int | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `forward` does, and (B, K, questions) the logits of aspects that learn along with it.

        Not of those that are read off patches: those heads are fitted to the finished model.
        """
        if real is None:
            real = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        prompt = real.nonzero()[:, 0]  # (N,): the prompt of each of the N real images
        backbone, images = self.backbone, images[real]
        features = backbone.encode(images) if block is None else backbone.encode_suffix(images, block)
        rewards, logits = self._forward_fused(tokens[prompt], mask[prompt], features)
        return _pad(rewards, real), {name: _pad(of_aspect, real) for name, of_aspect in logits.items()}


def _pad(rows: Tensor, real: Tensor) -> Tensor:
    """(N, ...) of the images that exist, real (B, K) -> (B, K, ...), 0 elsewhere."""
    mask = real.view(*real.shape, *[1] * (rows.dim() - 1))
    return rows.new_zeros(*real.shape, *rows.shape[1:]).masked_scatter(mask, rows)


@dataclass(frozen=True)
class Trainable:
    """What a run trains: parameter counts, and the names of the tensors."""

    trainable: int
    total: int
    names: tuple[str, ...]


def count_trainable(model: nn.Module) -> Trainable:
    """Count what trains of the model as it is frozen now."""
    parameters = list(model.named_parameters())
    return Trainable(
        trainable=sum(p.numel() for _, p in parameters if p.requires_grad),
        total=sum(p.numel() for _, p in parameters),
        names=tuple(name for name, p in parameters if p.requires_grad),
    )


def freeze(model: RewardModel, fix_rate: float) -> Trainable:
    """Freeze the first share of both encoders' layers, exactly as the published training script does.

    It walks the parameters in order and stops after the first whose name holds the boundary layer's, so
    that one is frozen too; at 1 no name does and all of both encoders is frozen. The head always trains, as
    do a dual encoder's projections; what no reward depends on (`Backbone.unused`) never does.

    Raises: ValueError when fix_rate is not from 0 to 1.
    Source: ImageReward's train script; at 0.7 of ViT-L, 140.5 M of 446.7 M parameters train.
    """
    if not 0 <= fix_rate <= 1:
        raise ValueError(f"fix_rate must be from 0 to 1, is {fix_rate}")
    model.requires_grad_(True)
    for name, parameter in model.backbone.named_parameters():
        if name.startswith(model.backbone.unused):
            parameter.requires_grad_(False)
    if fix_rate > 0:
        for encoder, layers, count in model.backbone.encoders:
            _freeze_up_to(encoder, f"{layers}.{int(count * fix_rate)}")
    return count_trainable(model)


def _freeze_up_to(encoder: nn.Module, boundary: str) -> None:
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(False)
        if boundary in name:
            return
