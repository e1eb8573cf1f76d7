"""The published ImageReward model and how its script trains and scores, as the rival of our benchmarks.

transformers' BLIP modules hold the published weights bit for bit, with the same eager attention. Dropout is
the published one, drop path is added by hooks. All is float32, as the script has it; Adam is torch's default.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from rewardmodel.learning.data.preprocessing import normalise, read_image, to_pixels
from rewardmodel.learning.model.backbones.blip import BlipConfig
from rewardmodel.learning.model.heads import RewardHead

TOKENS = 35  # every prompt is padded to so many
MICRO_BATCH = 4  # pairs, on each of its devices


class Published(nn.Module):
    """Rewards of prompts and images side by side."""

    def __init__(self, config: BlipConfig) -> None:
        super().__init__()
        vision, text = config.vision, config.text
        self.wanted = config.image_input
        vision_config = BlipVisionConfig(
            hidden_size=vision.width,
            intermediate_size=vision.feed_forward,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=vision.image_size,
            patch_size=vision.patch,
            layer_norm_eps=vision.norm_eps,
        )
        text_config = BlipTextConfig(
            vocab_size=text.vocabulary,
            hidden_size=text.width,
            encoder_hidden_size=vision.width,
            intermediate_size=text.feed_forward,
            num_hidden_layers=text.layers,
            num_attention_heads=text.heads,
            max_position_embeddings=text.positions,
            layer_norm_eps=text.norm_eps,
            hidden_dropout_prob=text.dropout,
            attention_probs_dropout_prob=text.attention_dropout,
            is_decoder=True,
        )
        self.vision = BlipVisionModel(vision_config)
        self.text = BlipTextModel(text_config, add_pooling_layer=False)
        self.mlp = RewardHead(config.head, text.width)
        for depth, layer in enumerate(self.vision.encoder.layers):
            rate = vision.drop_path * depth / max(vision.layers - 1, 1)
            for branch in (layer.self_attn, layer.mlp):
                branch.register_forward_hook(_drop_path(rate))

    def freeze(self, rate: float) -> None:
        """The layers before the boundary; what the script freezes just beyond it costs nothing."""
        self.vision.embeddings.requires_grad_(False)
        self.text.embeddings.requires_grad_(False)
        for layers in (self.vision.encoder.layers, self.text.encoder.layer):
            layers[: int(len(layers) * rate)].requires_grad_(False)

    def features(self, tokens: Tensor, images: Tensor) -> Tensor:
        """tokens (B, T), images (B, 3, H, W) normalised -> (B, D)."""
        seen = self.vision(images).last_hidden_state  # (B, P, V)
        mask = torch.ones_like(tokens)
        everywhere = torch.ones(seen.shape[:2], dtype=torch.int64, device=seen.device)
        read = self.text(
            tokens,
            attention_mask=mask,
            encoder_hidden_states=seen,
            encoder_attention_mask=everywhere,
            is_decoder=False,
        )
        return read.last_hidden_state[:, 0]

    def pair_loss(self, tokens: Tensor, better: Tensor, worse: Tensor) -> Tensor:
        """`encode_pair`: both images of each of the B pairs are encoded for it."""
        two = [self.mlp(self.features(tokens, images)) for images in (better, worse)]  # each (B,)
        return _cross_entropy(*two)

    def data_loss(self, tokens: Tensor, files: list[Path]) -> Tensor:
        """`encode_data`: the images of one prompt, best first, one at a time from file; then all pairs."""
        each = torch.cat([self.features(tokens, self.read(file)) for file in files])  # (K, D)
        pairs = list(combinations(range(len(files)), 2))
        better, worse = (self.mlp(each[[pair[side] for pair in pairs]]) for side in (0, 1))
        return _cross_entropy(better, worse)

    @torch.no_grad()
    def score(self, tokens: Tensor, file: Path) -> float:
        """As its `score` does with each image of a list."""
        return self.mlp(self.features(tokens, self.read(file))).item()

    def read(self, file: Path) -> Tensor:
        """(1, 3, H, W) normalised, on the model's device."""
        with Image.open(file) as image:
            pixels = to_pixels(read_image(image), self.wanted)
        return normalise(pixels[None].to(next(self.parameters()).device), self.wanted)


def _drop_path(rate: float):
    def hook(module: nn.Module, given: object, made: Tensor | tuple[Tensor, ...]):
        if not module.training or rate == 0:
            return made
        branch = made[0] if isinstance(made, tuple) else made
        kept = branch.new_empty(len(branch), 1, 1).bernoulli_(1 - rate)
        branch = branch * kept / (1 - rate)
        return (branch, *made[1:]) if isinstance(made, tuple) else branch

    return hook


def _cross_entropy(better: Tensor, worse: Tensor) -> Tensor:
    first = torch.zeros(len(better), dtype=torch.int64, device=better.device)
    return F.cross_entropy(torch.stack([better, worse], dim=1), first)
