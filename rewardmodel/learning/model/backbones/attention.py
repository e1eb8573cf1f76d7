"""Multi-head attention of BLIP's text encoder: to the prompt itself, and to an image.

Letters: B rows, T tokens, D their width, H heads of d = D / H each; P patches and the class token of V.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.backbones.config import TextConfig


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, D) -> (B, heads, N, D / heads)."""
    b, n, d = x.shape
    return x.view(b, n, heads, d // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, heads, N, D / heads) -> (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Queries from the text; keys and values from what it looks at, vectors of `context`."""

    def __init__(self, config: TextConfig, context: int) -> None:
        super().__init__()
        self.heads, self.rate = config.heads, config.attention_dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(context, config.width)
        self.value = nn.Linear(context, config.width)


class SelfAttention(Attention):
    def forward(self, x: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D) looks at those of context (B, T, D) that `mask` (B, 1, 1, T) allows -> (B, N, D)."""
        q, k, v = (
            split_heads(project(source), self.heads)
            for project, source in ((self.query, x), (self.key, context), (self.value, context))
        )
        rate = self.rate if self.training else 0.0
        return join_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate))


class ImageAttention(Attention):
    """Of a prompt to its image: few queries on many patches, so no key or value is made of each patch.

    q . (K f + b) is (K^T q) . f, and a constant that softmax leaves out; the weighted mean of V f + c is V
    applied to the weighted mean of f, and c. That moves the two projections from P patches to T tokens: at
    ViT-L's 197 patches a quarter of the products for 12 tokens, three quarters for 35. The numbers are the
    same up to rounding.
    """

    def forward(self, x: Tensor, images: Tensor, rows: Tensor | None = None) -> Tensor:
        """x (B, T, D) looks at images (B, P, V) -> (B, T, D).

        With `rows` (B,), prompt i looks at number rows[i] of images (N, P, V).
        """
        b, t, d = x.shape
        shared = rows is not None and b * t * self.heads >= len(images) * d
        if shared or not isinstance(self.key, nn.Linear) or not isinstance(self.value, nn.Linear):
            return self._by_keys(x, images, rows)  # cheaper; or an adapter stands there, to be called
        return self._by_patches(x, images if rows is None else images[rows])

    def _by_patches(self, x: Tensor, images: Tensor) -> Tensor:
        (b, t, d), v, heads = x.shape, images.shape[-1], self.heads
        inner = d // heads
        q = (self.query(x) * inner**-0.5).view(b, t, heads, inner)
        # Softmax leaves it out; with it the key's bias has its gradient, about 0, as in the other way.
        constant = (q * self.key.bias.view(heads, inner)).sum(dim=-1)  # (B, T, H)
        constant = constant.transpose(1, 2).reshape(b, heads * t, 1)
        q = q.flatten(0, 1).transpose(0, 1)  # (H, B T, d)
        q = torch.bmm(q, self.key.weight.view(heads, inner, v))  # (H, B T, V)
        q = q.view(heads, b, t, v).transpose(0, 1).reshape(b, heads * t, v)  # (B, H T, V)
        share = torch.baddbmm(constant, q, images.transpose(1, 2)).softmax(dim=-1)  # (B, H T, P)
        share = F.dropout(share, self.rate, self.training)
        mean = torch.bmm(share, images)  # (B, H T, V)
        mean = mean.view(b, heads, t, v).transpose(0, 1).reshape(heads, b * t, v)
        out = torch.bmm(mean, self.value.weight.view(heads, inner, v).transpose(1, 2))  # (H, B T, d)
        # Dropout leaves shares that do not sum to 1, and that sum is how much of the bias comes through.
        total = share.sum(dim=-1).view(b, heads, t, 1).transpose(1, 2)  # (B, T, H, 1)
        out = out.view(heads, b, t, inner).permute(1, 2, 0, 3) + total * self.value.bias.view(heads, inner)
        return out.reshape(b, t, d)

    def _by_keys(self, x: Tensor, images: Tensor, rows: Tensor | None) -> Tensor:
        """Each image's keys and values are made once, for all the prompts that look at it."""
        q, k, v = (
            split_heads(project(source), self.heads)
            for project, source in ((self.query, x), (self.key, images), (self.value, images))
        )
        if rows is not None:
            k, v = k[rows], v[rows]
        rate = self.rate if self.training else 0.0
        return join_heads(F.scaled_dot_product_attention(q, k, v, dropout_p=rate))
