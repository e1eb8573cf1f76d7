"""The frozen image blocks' output of each image: computed once, cached on disk, read in every later epoch.

It is computed image by image on a CPU, and in chunks of a fixed size elsewhere: then the kernels sum in the
same order whatever else is in the batch, and a number does not depend on whether, when or by which run it was
cached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import normalise
from rewardmodel.learning.data.stored_tensors import StoredTensors
from rewardmodel.learning.model.reward import RewardModel
from rewardmodel.learning.training.precision import autocast, frozen_in_bfloat16

FORMAT = 2  # raised when the same weights and image would give something else
CHUNK = {"cpu": 1, "cuda": 32}  # images that go through the frozen blocks at once


class FrozenFeatures:
    """The input of the first image block that trains, computed without drop path whatever the model's mode.

    Args:
        model: on its device, its layers frozen already; the frozen weights must not change any more.
        folder: of the cache, shared with other models.
    """

    def __init__(
        self,
        model: RewardModel,
        config: RewardConfig,
        *,
        pixels: Pixels,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.block = model.backbone.frozen_blocks
        self.device, self.config, self.pixels = device, config, pixels
        self.prefix = _Prefix(model, self.block)
        self.shape = model.backbone.hidden_shape
        self.dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self._cast_weights: dict[str, Tensor] | None = None
        self.store = StoredTensors(
            folder / _fingerprint(model, self.block, self.dtype, device),
            shape=self.shape,
            dtype=self.dtype,
            limit=config.boundary_cache_bytes,
        )

    def get(self, images: Sequence[Path]) -> Tensor:
        """Return (N, P, V) float32 on the device, cached from now on. Raises: UnreadableImage."""
        keys = [self.pixels.digest(image) for image in images]
        hidden = torch.empty(len(images), *self.shape, dtype=self.dtype)  # (N, P, V)
        missing = [i for i, key in enumerate(keys) if not self.store.read(key, hidden[i])]
        if missing:
            hidden[missing] = self._compute([images[i] for i in missing])
            self.store.write([keys[i] for i in missing], hidden[missing])
        return hidden.to(self.device).float()  # the residual stream goes on in float32

    def missing(self, images: Iterable[Path]) -> list[Path]:
        """Return the images that are not cached, whose pixels `get` will need."""
        return [image for image in images if self.pixels.digest(image) not in self.store]

    @torch.no_grad()
    def _compute(self, images: Sequence[Path]) -> Tensor:
        size = CHUNK.get(self.device.type, 1)
        chunks = []
        with _evaluating(self.prefix.model), autocast(self.config, self.device):
            for start in range(0, len(images), size):
                pixels = torch.stack([self.pixels.get(image) for image in images[start : start + size]])
                padded = torch.cat([pixels, pixels[-1:].expand(size - len(pixels), -1, -1, -1)])
                batch = normalise(padded.to(self.device), self.prefix.model.config.image_input)
                hidden = functional_call(self.prefix, self._weights(), (batch,))  # (size, P, V)
                chunks.append(hidden[: len(pixels)].to("cpu", self.dtype))
        return torch.cat(chunks)

    def _weights(self) -> dict[str, Tensor]:
        """What replaces the model's own weights in `_compute`."""
        if self._cast_weights is None:
            called = _image_encoder(self.prefix.model)
            bfloat16 = self.dtype == torch.bfloat16
            self._cast_weights = frozen_in_bfloat16(self.prefix, called) if bfloat16 else {}
        return self._cast_weights


class _Prefix(nn.Module):
    """The frozen blocks as a module, so that they can be called with other weights."""

    def __init__(self, model: RewardModel, block: int) -> None:
        super().__init__()
        self.model, self.block = model, block

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, P, V)."""
        return self.model.backbone.encode_prefix(images, self.block)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _image_encoder(model: RewardModel) -> nn.Module:
    """The part of the model that all frozen blocks lie in."""
    return model.backbone.encoders[0][0]


def _fingerprint(model: RewardModel, block: int, dtype: torch.dtype, device: torch.device) -> str:
    """Name what decides an image's features; another kind of device rounds otherwise.

    Text encoder and head have no part in them: models that differ only there share a cache.
    """
    config = model.config
    kind = [str(dtype), device.type, torch.__version__]
    key = [FORMAT, block, *kind, config.kind, repr(config.image_encoder), repr(config.image_input)]
    digest = hashlib.sha256(json.dumps(key).encode())
    for name, weight in _image_encoder(model).named_parameters():
        if not weight.requires_grad:
            digest.update(name.encode())
            digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
