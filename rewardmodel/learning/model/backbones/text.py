"""BLIP's text encoder, the MED: the published parameter names and shapes, and nothing unused.

Source: BLIP, arXiv 2201.12086, as ImageReward uses it. Letters: B rows, T tokens, D their width; P patches
and the class token, V the width of the image encoder.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rewardmodel.learning.model.backbones.attention import Attention, ImageAttention, SelfAttention
from rewardmodel.learning.model.backbones.config import TextConfig


class TextEmbeddings(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width, padding_idx=config.padding_token)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        words = self.word_embeddings(tokens)  # (B, T) -> (B, T, D)
        positions = self.position_embeddings.weight[: tokens.shape[1]]  # (T, D)
        return self.dropout(self.LayerNorm(words + positions))


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
    """Attention of tokens to the prompt or to the image, added to them and normalised."""

    def __init__(self, config: TextConfig, attention: Attention) -> None:
        super().__init__()
        self.self = attention
        self.output = Residual(config, config.width)

    def forward(self, x: Tensor, context: Tensor, which: Tensor | None = None) -> Tensor:
        """Takes what the attention takes."""
        return self.output(self.self(x, context, which), x)


class TextIntermediate(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.feed_forward)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class TextLayer(nn.Module):
    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.attention = TextAttention(config, SelfAttention(config, config.width))
        self.crossattention = TextAttention(config, ImageAttention(config, image_width))
        self.intermediate = TextIntermediate(config)
        self.output = Residual(config, config.feed_forward)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        images: Tensor | None,
        rows: Tensor | None = None,
        *,
        first_only: bool,
    ) -> Tensor:
        queries = x[:, :1] if first_only else x
        queries = self.attention(queries, x, mask)
        if images is not None:
            queries = self.crossattention(queries, images, rows)
        return self.output(self.intermediate(queries), queries)


class TextLayers(nn.Module):
    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(TextLayer(config, image_width) for _ in range(config.layers))


class TextEncoder(nn.Module):
    """BERT without token types or pooler, each of whose layers also attends to the image.

    With `gradient_checkpointing` only each layer's input is kept; the layer runs again in the backward pass.
    """

    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.gradient_checkpointing = False
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
        visible = mask.bool()[:, None, None, :]  # (B, 1, 1, T): every query sees the prompt's real tokens
        last = len(self.encoder.layer) - 1
        for depth, layer in enumerate(self.encoder.layer):
            run = partial(layer, first_only=first_only and depth == last)
            x = (
                checkpoint(run, x, visible, images, rows, use_reentrant=False)
                if self.gradient_checkpointing
                else run(x, visible, images, rows)
            )
        return x
