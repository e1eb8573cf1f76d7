"""BLIP's image encoder, a ViT: the published parameter names and shapes, and nothing unused.

Source: BLIP, arXiv 2201.12086. Letters: B rows, P patches and the class token, V their width.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rewardmodel.learning.model.backbones.attention import join_heads, split_heads
from rewardmodel.learning.model.backbones.config import VisionConfig


class DropPath(nn.Module):
    """Leave out a residual branch for a random share of the rows; training only (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        mask = torch.empty(x.shape[0], 1, 1, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate)
        return x * mask / (1 - self.rate)


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

    With `gradient_checkpointing` only each block's input is kept; the block runs again in the backward pass.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.gradient_checkpointing = False
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
        return self.forward_suffix(self.forward_prefix(images, 0), 0)

    def forward_prefix(self, images: Tensor, block: int) -> Tensor:
        """Return the input of block number `block`: (B, 3, H, W) normalised -> (B, P, V)."""
        patches = self.patch_embed(images)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        return self._through(self.blocks[:block], x)

    def forward_suffix(self, hidden: Tensor, block: int) -> Tensor:
        """Return the features, from what `forward_prefix` gave for the same block: (B, P, V) -> (B, P, V)."""
        return self.norm(self._through(self.blocks[block:], hidden))

    def _through(self, blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
        for block in blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.gradient_checkpointing else block(x)
        return x
