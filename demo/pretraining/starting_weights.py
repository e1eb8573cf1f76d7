"""Weights from which a model this small starts to learn at once; BLIP's own start stalls at its size."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rewardmodel.learning.model.backbones.blip import Blip
from rewardmodel.learning.model.backbones.vision import VisionBlock, VisualEncoder
from rewardmodel.learning.model.reward import RewardModel

STD = 0.06
EMBEDDING_STD = 0.5
POSITION_SCALE = 0.7
NOISE = 0.02  # variance below which a direction of patches is not stretched


@torch.no_grad()
def initialise(model: RewardModel, images: Tensor) -> None:
    """Draw all weights, wider than usual; fit the first layer to normalised images (B, 3, H, W)."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        if "embeddings" in name:
            nn.init.normal_(parameter, std=EMBEDDING_STD)
        elif name.startswith("mlp."):
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        else:
            nn.init.normal_(parameter, std=STD)
    _start_vision(cast(Blip, model.backbone).visual_encoder, images)


def _start_vision(encoder: VisualEncoder, images: Tensor) -> None:
    """Patches whitened, since edges vary a thousand times less than colours; each patch first looks at those
    near and like it."""
    width = encoder.cls_token.shape[-1]
    proj = encoder.patch_embed.proj
    size = proj.kernel_size[0]
    patches = nn.functional.unfold(images, size, stride=size).transpose(1, 2).flatten(0, 1)  # (N, 3 size^2)
    mean = patches.mean(dim=0)
    variance, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    most = width * 3 // 4
    whitened = (directions[:, -most:] / (variance[-most:].clamp(min=0) + NOISE).sqrt()).T
    turned = torch.linalg.qr(torch.randn(width, width))[0][:, :most] @ whitened  # (V, 3 size^2)
    proj.weight.copy_(turned.view_as(proj.weight))
    assert proj.bias is not None
    proj.bias.copy_(-(turned @ mean))
    side = images.shape[-1] // size
    encoder.pos_embed.copy_(torch.cat([torch.zeros(1, width), _waves(side, width) * POSITION_SCALE])[None])
    for block in encoder.blocks:
        assert isinstance(block, VisionBlock)
        queries = block.attn.qkv.weight[:width]
        block.attn.qkv.weight[width : 2 * width] = queries


def _waves(side: int, width: int) -> Tensor:
    """(side * side, width): sines and cosines of row and column, from a few patches long to the image."""
    frequencies = 1.5 * 40.0 ** -(torch.arange(width // 4) / (width // 4))
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phases = [place.reshape(-1, 1) * frequencies for place in (row, column)]
    return torch.cat([wave(phase) for phase in phases for wave in (torch.sin, torch.cos)], dim=1)
