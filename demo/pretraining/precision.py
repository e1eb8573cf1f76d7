"""Bfloat16 on a CPU that has it: convolutions gain from it, norms and attention only when left in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def autocast() -> torch.autocast:
    """Bfloat16, but float32 on a CPU that would emulate it and take ten times as long."""
    is_native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=is_native)


class FloatAttention:
    """Attention of a UNet block in float32 under bfloat16 autocast.

    On a CPU the backward pass of `scaled_dot_product_attention` takes nine times as long in bfloat16.
    """

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: None = None,
        temb: None = None,
    ) -> Tensor:
        """(B, P, D), places of a picture -> (B, P, D). Args: encoder_hidden_states (B, T, E), words."""
        read = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            project(states).float().unflatten(2, (attention.heads, -1)).transpose(1, 2)  # (B, heads, P, d)
            for project, states in (
                (attention.to_q, hidden_states),
                (attention.to_k, read),
                (attention.to_v, read),
            )
        )
        with torch.autocast("cpu", enabled=False):
            mixed = F.scaled_dot_product_attention(query, key, value)
        return attention.to_out[0](mixed.transpose(1, 2).flatten(2))


@contextmanager
def float_norms(network: nn.Module) -> Iterator[None]:
    """Within, group norms are computed in float32: under autocast three times as fast as in bfloat16."""
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    for norm in norms:
        norm.forward = partial(_norm_in_float, norm)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _norm_in_float(norm: nn.GroupNorm, inputs: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return F.group_norm(inputs.float(), norm.num_groups, norm.weight, norm.bias, norm.eps).to(
            inputs.dtype
        )
