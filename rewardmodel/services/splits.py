"""The split of each prompt: the one it was published in, else one derived from a hash of its text."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from django.db import transaction

from annotation.models import Project
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.models.datasets import SplitBy

# Where two splits publish the same text, the later of these takes it: test data is never trained on.
PRECEDENCE = ("train", "validation", "test")


@dataclass(frozen=True)
class Shares:
    """The share of prompts in each split. Ours: the paper holds out a fixed number of prompts."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        if min(self.train, self.validation, self.test) < 0 or abs(sum(asdict(self).values()) - 1) > 1e-9:
            raise ValueError(f"shares of a split are 0 or more and add up to 1, not {self}")


@dataclass(frozen=True)
class Splits:
    """The split of each prompt, by its text alone: more answers never move a prompt to another split."""

    shares: Shares = field(default_factory=Shares)
    published: Mapping[str, str] = field(default_factory=dict)  # `folded` text -> split

    def of(self, prompt: str) -> str:
        return self.published.get(folded(prompt)) or split_of(prompt, self.shares)


def split_of(prompt: str, shares: Shares) -> str:
    """Return the split that a hash of the text decides."""
    # Salted, so that prompts sampled by a plain hash of their texts do not all land in one split.
    digest = hashlib.sha256(b"dataset split\n" + folded(prompt).encode()).digest()
    position = int.from_bytes(digest[:8]) / 2**64  # uniform in 0..1
    if position < shares.train:
        return "train"
    return "validation" if position < shares.train + shares.validation else "test"


def folded(prompt: str) -> str:
    """Normalise a text: case, white space and Unicode composition do not make another prompt."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def project_splits(project: Project, *, shares: Shares, split_by: str = SplitBy.PUBLISHED) -> Splits:
    """Return the splits of the project's prompts as they are published now."""
    if split_by == SplitBy.HASH:
        return Splits(shares)
    published: dict[str, str] = {}
    texts = project.prompts.exclude(published_split="").values_list("text", "published_split")
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        for text, split in texts.iterator():
            published[folded(text)] = max(split, published.get(folded(text), split), key=PRECEDENCE.index)
    return Splits(shares, published)


def dataset_splits(dataset: DatasetVersion) -> Splits:
    """Return the splits to use for models trained on this dataset."""
    shares = Shares(**dataset.shares)
    return project_splits(dataset.project, shares=shares, split_by=dataset.split_by)


def checkpoint_splits(checkpoint: RewardCheckpoint) -> Splits:
    """Return the splits that the model was trained with; the default ones if it was not trained here."""
    if checkpoint.run:
        return dataset_splits(checkpoint.run.dataset)
    return project_splits(checkpoint.project, shares=Shares())
