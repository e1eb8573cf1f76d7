"""What prompts are encoded to.

Letters: B prompts, T tokens, D their width, P width of a whole prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TextConditioning:
    """Encoded prompts, as a denoiser reads them; indexed by sample, as a tensor (B, ...) is.

    Attributes:
        embeddings: (B, T, D), of the tokens.
        pooled: (B, P), of the prompts as wholes; None where the denoiser reads none.
    """

    embeddings: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def nbytes(self) -> int:
        return self.embeddings.nbytes + (0 if self.pooled is None else self.pooled.nbytes)

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> TextConditioning:
        return self._map(lambda tensor: tensor[rows])

    def to(self, target: torch.device | torch.dtype | str) -> TextConditioning:
        """Move to a device, or cast to a dtype."""
        return self._map(lambda tensor: tensor.to(target))

    def expand(self, count: int) -> TextConditioning:
        """Repeat a single prompt, without copying it."""
        return self._map(lambda tensor: tensor.expand(count, *tensor.shape[1:]))

    def _map(self, change: Callable[[Tensor], Tensor]) -> TextConditioning:
        return TextConditioning(change(self.embeddings), None if self.pooled is None else change(self.pooled))


def concatenate(texts: Sequence[TextConditioning]) -> TextConditioning:
    """Join encoded prompts of one family, in order."""
    pooled = [text.pooled for text in texts if text.pooled is not None]
    return TextConditioning(
        torch.cat([text.embeddings for text in texts]), torch.cat(pooled) if pooled else None
    )
