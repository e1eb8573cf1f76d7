"""The reward model, and which of its layers a run trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.aspect_head import AspectHead
from rewardmodel.learning.model.backbones.blip import Blip
from rewardmodel.learning.model.backbones.config import BlipConfig, DualConfig, HeadConfig
from rewardmodel.learning.model.backbones.dual import Dual


class RewardHead(nn.Module):
    """Linear layers and dropout, no activations: in evaluation one affine map to a number.

    Source: ImageReward's MLP; weights start at N(0, std = 1 / (width + 1)) in every layer, so first rewards
    are nearly equal and the first loss is ln 2. It computes in what its weights are held in, whatever the
    encoders do: in half precision rewards would tie.
    """

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = width
        for depth, hidden in enumerate(config.hidden):
            layers.append(nn.Linear(inner, hidden))
            if depth < len(config.dropout):
                layers.append(nn.Dropout(config.dropout[depth]))
            inner = hidden
        layers.append(nn.Linear(inner, 1))
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1.0 / (width + 1))
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,)."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layers(x.to(next(self.parameters()).dtype)).squeeze(-1)


class SimilarityHead(nn.Module):
    """The cosine that CLIP and SigLIP were trained by, scaled: PickScore's reward; HPSv2's is the cosine.

    Source: CLIP, arXiv 2103.00020; SigLIP, arXiv 2303.15343.
    """

    def __init__(self, *, biased: bool) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(1 if biased else ()))
        if biased:
            self.logit_bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D), products of two unit vectors' components -> (B,)."""
        reward = self.logit_scale.exp() * x.sum(dim=-1)
        return reward + self.logit_bias if hasattr(self, "logit_bias") else reward


class RewardModel(nn.Module):
    """How well an image answers its prompt: higher is better, no unit. Source: arXiv 2304.05977, 3.1.

    It may have heads besides, which say what people would answer of single aspects.
    """

    def __init__(self, config: BlipConfig | DualConfig, aspects: Sequence[str] = ()) -> None:
        super().__init__()
        self.config = config
        if isinstance(config, BlipConfig):
            self.blip = Blip(config.vision, config.text, config.projection)
            self.mlp = RewardHead(config.head, config.text.width)
        else:
            self.dual = Dual(config)
            self.similarity = SimilarityHead(biased=config.kind == "siglip")
        self.aspect_heads = nn.ModuleDict()
        self.judge_aspects(aspects)

    def judge_aspects(self, aspects: Sequence[str]) -> None:
        """Have heads for these aspects and for no others; those that are there stay as they are.

        Raises: CheckpointError when nothing in the model has seen prompt and image together.
        """
        if aspects and not isinstance(self.config, BlipConfig):
            raise CheckpointError(
                f"a {self.config.kind} model meets its prompt in a cosine alone: nothing in it could tell "
                + ", ".join(aspects)
            )
        kept = self.aspect_heads
        self.aspect_heads = nn.ModuleDict()
        for name in aspects:
            self.aspect_heads[name] = kept[name] if name in kept else self._new_head(name)

    def _new_head(self, aspect: str) -> AspectHead:
        assert isinstance(self.config, BlipConfig)
        return AspectHead(aspect, self.config.text.width)

    @property
    def backbone(self) -> Blip | Dual:
        """What encodes images and reads prompts."""
        return self.blip if isinstance(self.config, BlipConfig) else self.dual

    @property
    def head(self) -> RewardHead | SimilarityHead:
        """What makes one number of what the backbone read."""
        return self.mlp if isinstance(self.config, BlipConfig) else self.similarity

    def encode(self, images: Tensor) -> Tensor:
        """Image features: (N, 3, H, W) normalised -> (N, P, V)."""
        return self.encode_from(self.encode_until(images, 0), 0)

    def encode_until(self, images: Tensor, block: int) -> Tensor:
        """What vision block number `block`, the first being 0, is given: (N, 3, H, W) -> (N, P, V)."""
        return self.backbone.encode_until(images, block)

    def encode_from(self, hidden: Tensor, block: int) -> Tensor:
        """Image features, from what `encode_until` gave for the same block: (N, P, V) -> (N, P, V)."""
        return self.backbone.encode_from(hidden, block)

    def judge(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """One raw reward a row: tokens, mask (N, T), features (N, P, V) of `encode` -> (N,).

        Args: rows: (N,) int64, which of fewer features each row is about; what depends on the image alone is
            then computed once an image.
        """
        return self.head(self.backbone.read(tokens, mask, features, rows))

    def judge_all(
        self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `judge`, and beside it what the other heads say, by aspect: log odds, (N, questions)."""
        read = self.backbone.read(tokens, mask, features, rows)  # (N, D)
        return self.head(read), {name: head(read) for name, head in self.aspect_heads.items()}

    def score(self, tokens: Tensor, mask: Tensor, images: Tensor) -> Tensor:
        """One raw reward a row: tokens, mask (N, T), images (N, 3, H, W) normalised -> (N,)."""
        return self.judge(tokens, mask, self.encode(images))

    @property
    def hidden_shape(self) -> tuple[int, int]:
        """P and V of what `encode_until` gives of one image."""
        return self.backbone.hidden_shape

    @property
    def heads(self) -> tuple[nn.Module, ...]:
        """What stands on the encoders, and always trains in full."""
        return (self.head, *self.aspect_heads.values())

    def recompute(self, on: bool = True) -> None:
        """Trade time for memory: run each block of both encoders again in the backward pass.

        Gradients are the same, dropout and drop path included. Source: gradient checkpointing, 1604.06174.
        """
        self.backbone.recompute(on)

    @property
    def frozen_blocks(self) -> int:
        """Vision blocks, from the first on, that the current freezing leaves wholly untrained.

        What they make of an image is the same in every epoch, apart from drop path; so `encode_until` this
        block can be kept. 0 when nothing can.
        """
        return self.backbone.frozen_blocks

    @property
    def frozen_noise(self) -> bool:
        """Whether drop path makes the frozen blocks' output differ from step to step in training."""
        return self.backbone.frozen_noise

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        block: int | None = None,
    ) -> Tensor:
        """Rewards of K images of each of B prompts, each image encoded once.

        Args:
            tokens, mask: (B, T) int64; mask is 0 where a token is padding.
            images: (B, K, 3, H, W), normalised as preprocessing does; with `block`, (B, K, P, V), what
                that vision block is given.
            real: (B, K) bool, False where a prompt has fewer images; those cost nothing and get 0.
        Returns: (B, K), float32 at least.
        """
        return self.forward_all(tokens, mask, images, real, block)[0]

    def forward_all(
        self,
        tokens: Tensor,
        mask: Tensor,
        images: Tensor,
        real: Tensor | None = None,
        block: int | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """As `forward`, and beside it what the other heads say, by aspect: log odds, (B, K, questions)."""
        if real is None:
            real = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        prompt = real.nonzero()[:, 0]  # (N,): the prompt of each of the N real images
        seen = self.encode(images[real]) if block is None else self.encode_from(images[real], block)
        rewards, said = self.judge_all(tokens[prompt], mask[prompt], seen)
        return _spread(rewards, real), {name: _spread(logits, real) for name, logits in said.items()}


def _spread(rows: Tensor, real: Tensor) -> Tensor:
    """(N, ...) of the images that there are, real (B, K) -> (B, K, ...), 0 elsewhere."""
    own = real.view(*real.shape, *[1] * (rows.dim() - 1))
    return rows.new_zeros(*real.shape, *rows.shape[1:]).masked_scatter(own, rows)


@dataclass(frozen=True)
class Trainable:
    """What a run trains: parameter counts, and the names of the tensors."""

    trainable: int
    total: int
    names: tuple[str, ...]


def count_trainable(model: nn.Module) -> Trainable:
    """What trains of the model as it is frozen now."""
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
    do a dual encoder's projections; BLIP's two projections, which no reward uses, never do.

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
        for encoder, layers, count in model.backbone.towers:
            _freeze_up_to(encoder, f"{layers}.{int(count * fix_rate)}")
    return count_trainable(model)


def _freeze_up_to(encoder: nn.Module, boundary: str) -> None:
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(False)
        if boundary in name:
            return
