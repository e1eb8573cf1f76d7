"""Prompts as the denoiser reads them, each encoded once a run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from refl.learning.families import Family
from refl.learning.families.conditioning import TextConditioning, concatenate

CACHE_BYTES = 2 << 30  # of encoded prompts, in main memory: 9,000 of Stable Diffusion's
ENCODED_TOGETHER = 16  # prompts; few, since some text encoders are larger than the denoiser


class PromptEmbeddings:
    """Encodes prompts, and remembers those used last: a run meets each of its prompts many times."""

    def __init__(self, family: Family, cache_bytes: int = CACHE_BYTES) -> None:
        self.family, self.cache_bytes = family, cache_bytes
        self._rows: OrderedDict[str, TextConditioning] = OrderedDict()  # of one prompt each; last used, last

    def encode(self, prompts: Sequence[str]) -> TextConditioning:
        """Return what `Family.encode_prompts` gives for these prompts, on the family's device."""
        rows = {prompt: self._rows[prompt] for prompt in prompts if prompt in self._rows}
        missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in rows]
        for start in range(0, len(missing), ENCODED_TOGETHER):
            chunk = missing[start : start + ENCODED_TOGETHER]
            text = self.family.encode_prompts(chunk).to("cpu")
            rows |= {prompt: text[i : i + 1] for i, prompt in enumerate(chunk)}
        for prompt, row in rows.items():
            self._rows[prompt] = row
            self._rows.move_to_end(prompt)
        while len(self._rows) * next(iter(rows.values())).nbytes > self.cache_bytes:
            self._rows.popitem(last=False)
        return concatenate([rows[prompt] for prompt in prompts]).to(self.family.device)
