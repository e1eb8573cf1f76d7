"""BLIP's image and text encoders, lean: the published parameter names and shapes, and nothing unused.

Source: BLIP, arXiv 2201.12086, its ViT and its MED text encoder as ImageReward uses them. Letters: B rows,
P patches and the class token, T tokens, D the width of the encoder at hand, V the width of the image encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rewardmodel.learning.backbones.config import TextConfig, VisionConfig


def count_frozen(before: Iterable[nn.Parameter], blocks: Iterable[nn.Module]) -> int:
    """How many blocks from the first on do not train at all; 0 when what lies before them does."""
    if any(parameter.requires_grad for parameter in before):
        return 0
    trains = [any(p.requires_grad for p in block.parameters()) for block in blocks]
    return (*trains, True).index(True)


KeysValues = tuple[Tensor, Tensor]  # each (B, heads, N, D / heads)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    b, n, d = x.shape
    return x.view(b, n, heads, d // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, N, D / heads) -> (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


class DropPath(nn.Module):
    """Leave out a residual branch for a random share of the rows; training only (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        kept = torch.empty(x.shape[0], 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate)
        return x * kept / (1 - self.rate)


class VisionAttention(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(join_heads(F.scaled_dot_product_attention(q, k, v)))


class VisionFeedForward(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.feed_forward)
        self.fc2 = nn.Linear(config.feed_forward, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class VisionBlock(nn.Module):
    def __init__(self, config: VisionConfig, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = VisionAttention(config)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = VisionFeedForward(config)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbedding(nn.Module):
    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, kernel_size=config.patch, stride=config.patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)  # (B, 3, H, W) -> (B, P - 1, V)


class VisualEncoder(nn.Module):
    """ViT: normalised images to one vector for the whole image and one for each patch.

    `recomputes`: keep only each block's input for the backward pass, and run the block again there.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.recomputes = False
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        self.patch_embed = PatchEmbedding(config)
        last = max(config.layers - 1, 1)
        self.blocks = nn.ModuleList(
            VisionBlock(config, drop_path=config.drop_path * depth / last) for depth in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalised -> (B, P, V)."""
        return self.onward(self.until(images, 0), 0)

    def until(self, images: Tensor, block: int) -> Tensor:
        """What block number `block` is given: (B, 3, H, W) normalised -> (B, P, V)."""
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        return self._through(self.blocks[:block], x)

    def onward(self, hidden: Tensor, block: int) -> Tensor:
        """The rest of the way, from what `until` gave for the same block: (B, P, V) -> (B, P, V)."""
        return self.norm(self._through(self.blocks[block:], hidden))

    def _through(self, blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
        for block in blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.recomputes else block(x)
        return x

    @property
    def frozen_blocks(self) -> int:
        before = [self.cls_token, self.pos_embed, *self.patch_embed.parameters()]
        return count_frozen(before, self.blocks)

    @property
    def frozen_noise(self) -> bool:
        """Whether a frozen block has drop path."""
        frozen = self.blocks[: self.frozen_blocks]
        return any(isinstance(part, DropPath) and part.rate > 0 for part in frozen.modules())


class TextEmbeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width, padding_idx=config.padding_token)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        words = self.word_embeddings(tokens)  # (B, T) -> (B, T, D)
        places = self.position_embeddings.weight[: tokens.shape[1]]  # (T, D)
        return self.dropout(self.LayerNorm(words + places))


class SelfAttention(nn.Module):
    """Queries from the text; keys and values from `context`, which is the text again or the image."""

    def __init__(self, config: TextConfig, context: int) -> None:
        super().__init__()
        self.heads, self.rate = config.heads, config.attention_dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(context, config.width)
        self.value = nn.Linear(context, config.width)

    def keys_values(self, context: Tensor) -> KeysValues:
        """(B, N, context) -> twice (B, heads, N, D / heads)."""
        return split_heads(self.key(context), self.heads), split_heads(self.value(context), self.heads)

    def forward(self, x: Tensor, context: Tensor | KeysValues, seen: Tensor | None) -> Tensor:
        q = split_heads(self.query(x), self.heads)
        k, v = self.keys_values(context) if isinstance(context, Tensor) else context
        rate = self.rate if self.training else 0.0
        return join_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=rate))


class Residual(nn.Module):
    """Project a branch, add it to what it came from, normalise."""

    def __init__(self, config: TextConfig, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, branch: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(branch)) + x)


class TextAttention(nn.Module):
    def __init__(self, config: TextConfig, context: int) -> None:
        super().__init__()
        self.self = SelfAttention(config, context)
        self.output = Residual(config, config.width)

    def forward(self, x: Tensor, context: Tensor | KeysValues, seen: Tensor | None = None) -> Tensor:
        return self.output(self.self(x, context, seen), x)


class TextIntermediate(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.feed_forward)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class TextLayer(nn.Module):
    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.attention = TextAttention(config, config.width)
        self.crossattention = TextAttention(config, image_width)
        self.intermediate = TextIntermediate(config)
        self.output = Residual(config, config.feed_forward)

    def forward(
        self, x: Tensor, seen: Tensor, images: Tensor | None, rows: Tensor | None = None, *, first_only: bool
    ) -> Tensor:
        asking = x[:, :1] if first_only else x
        asking = self.attention(asking, x, seen)
        if images is not None:
            context: Tensor | KeysValues = images
            if rows is not None:  # each image's keys and values are made once
                k, v = self.crossattention.self.keys_values(images)
                context = k[rows], v[rows]
            asking = self.crossattention(asking, context)
        return self.output(self.intermediate(asking), asking)


class TextLayers(nn.Module):
    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(TextLayer(config, image_width) for _ in range(config.layers))


class TextEncoder(nn.Module):
    """BERT without token types or pooler, each of whose layers also attends to the image.

    `recomputes`: keep only each layer's input for the backward pass, and run the layer again there.
    """

    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.recomputes = False
        self.embeddings = TextEmbeddings(config)
        self.encoder = TextLayers(config, image_width)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        images: Tensor | None,
        *,
        rows: Tensor | None = None,
        first_only: bool = True,
    ) -> Tensor:
        """Read each prompt while looking at its image.

        Args:
            tokens: (B, T) int64; may be cut to the longest prompt of the batch, the result is the same.
            mask: (B, T), 0 where a token is padding.
            images: (B, P, V), what VisualEncoder gave; (N, P, V) with `rows`; None to read the prompts by
                themselves.
            rows: (B,) int64, the image that each prompt looks at, where several look at one.
            first_only: leave every token but [CLS] out of the last layer; its own vector is the same.
        Returns: (B, 1, D), or (B, T, D) without first_only.
        """
        x = self.embeddings(tokens)
        seen = mask.bool()[:, None, None, :]  # (B, 1, 1, T): every query sees the prompt's real tokens
        last = len(self.encoder.layer) - 1
        for depth, layer in enumerate(self.encoder.layer):
            run = partial(layer, first_only=first_only and depth == last)
            x = (
                checkpoint(run, x, seen, images, rows, use_reentrant=False)
                if self.recomputes
                else run(x, seen, images, rows)
            )
        return x


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
