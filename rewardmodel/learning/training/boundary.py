"""What the frozen image blocks make of each image: computed once, kept on disk, read in every later epoch.

Image by image on a CPU, and in parts of a fixed size elsewhere: then the kernels sum up in the same order
whatever else is in the batch, and a number does not depend on whether it was kept, when, or by which run.
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
from rewardmodel.learning.training.precision import autocast, halve_frozen

FORMAT = 2  # raised when the same weights and image would give something else
TOGETHER = {"cpu": 1, "cuda": 32}  # images that go through the frozen blocks at once


class Boundary:
    """The frozen vision blocks of a model, in evaluation mode: without drop path, whatever the model's mode.

    Args:
        model: on its device, and frozen already; its frozen weights may not change any more.
        pixels: of image files.
        folder: of all activations kept on this machine, of this model and of others.
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
        self.until = _Until(model, self.block)
        self.shape = model.backbone.hidden_shape
        self.dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        self._halved: dict[str, Tensor] | None = None
        self.store = StoredTensors(
            folder / _fingerprint(model, self.block, self.dtype, device),
            shape=self.shape,
            dtype=self.dtype,
            limit=config.boundary_cache_bytes,
        )

    def activations(self, images: Sequence[Path]) -> Tensor:
        """What the first block that trains is given: (N, P, V) float32 on the device; kept from now on.

        Raises: UnreadableImage.
        """
        keys = [self.pixels.digest(image) for image in images]
        hidden = torch.empty(len(images), *self.shape, dtype=self.dtype)  # (N, P, V)
        missing = [i for i, key in enumerate(keys) if not self.store.read(key, hidden[i])]
        if missing:
            hidden[missing] = self._compute([images[i] for i in missing])
            self.store.write([keys[i] for i in missing], hidden[missing])
        return hidden.to(self.device).float()  # the residual stream goes on in float32

    def missing(self, images: Iterable[Path]) -> list[Path]:
        """Those of which nothing is kept yet, so that their pixels will be wanted."""
        return [image for image in images if self.pixels.digest(image) not in self.store]

    @torch.no_grad()
    def _compute(self, images: Sequence[Path]) -> Tensor:
        size = TOGETHER.get(self.device.type, 1)
        parts = []
        with _evaluating(self.until.model), autocast(self.config, self.device):
            for start in range(0, len(images), size):
                pixels = torch.stack([self.pixels.get(image) for image in images[start : start + size]])
                whole = torch.cat([pixels, pixels[-1:].expand(size - len(pixels), -1, -1, -1)])
                given = normalise(
                    whole.to(self.device), self.until.model.config.image_input
                )  # (size, 3, H, W)
                made = functional_call(self.until, self._weights(), (given,))  # (size, P, V)
                parts.append(made[: len(pixels)].to("cpu", self.dtype))
        return torch.cat(parts)

    def _weights(self) -> dict[str, Tensor]:
        if self._halved is None:
            self._halved = (
                halve_frozen(self.until, _vision(self.until.model)) if self.dtype == torch.bfloat16 else {}
            )
        return self._halved


class _Until(nn.Module):
    """The frozen part as a module, so that it can be called with other weights."""

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


def _vision(model: RewardModel) -> nn.Module:
    """The encoder of images, in which all of the frozen blocks lie."""
    return model.backbone.encoders[0][0]


def _fingerprint(model: RewardModel, block: int, dtype: torch.dtype, device: torch.device) -> str:
    """Same text: the same activations of the same image. Another kind of device rounds in another way.

    What reads prompts, and the head, have no say in them: models that differ there alone share what is kept.
    """
    config = model.config
    kind = [str(dtype), device.type, torch.__version__]
    said = [FORMAT, block, *kind, config.kind, repr(config.image_encoder), repr(config.image_input)]
    seen = hashlib.sha256(json.dumps(said).encode())
    for name, weight in _vision(model).named_parameters():
        if not weight.requires_grad:
            seen.update(name.encode())
            seen.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return seen.hexdigest()[:32]
