"""What stands on a backbone: a head makes a reward of what it sees, others make answers on single aspects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rewardmodel.learning.model.aspects import PROBLEMS, RATINGS, questions


@dataclass(frozen=True)
class HeadConfig:
    """Linear layers without activations between them; dropout after all hidden ones but the last."""

    hidden: tuple[int, ...] = (1024, 128, 64, 16)
    dropout: tuple[float, ...] = (0.2, 0.2, 0.1)

    def __post_init__(self) -> None:
        if len(self.dropout) != len(self.hidden) - 1:
            raise ValueError(f"{len(self.hidden)} hidden layers want {len(self.hidden) - 1} dropout rates")


class RewardHead(nn.Module):
    """Linear layers and dropout, no activations: in evaluation one affine map to a number.

    Source: ImageReward's MLP; weights start at N(0, std = 1 / (width + 1)) in every layer, so first rewards
    are nearly equal and the first loss is ln 2. It computes in the dtype of its weights, whatever the
    encoders do: in half precision rewards would tie.
    """

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = width
        for depth, hidden in enumerate(config.hidden):
            layers.append(nn.Linear(inner, hidden))
            if depth < len(config.dropout):
                layers.append(nn.Dropout(config.dropout[depth]))
            inner = hidden
        layers.append(nn.Linear(inner, 1))
        self.layers = nn.Sequential(*layers)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=1.0 / (width + 1))
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,)."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layers(x.to(next(self.parameters()).dtype)).squeeze(-1)


class SimilarityHead(nn.Module):
    """The cosine that CLIP and SigLIP were trained by, scaled: PickScore's reward; HPSv2's is the cosine.

    Source: CLIP, arXiv 2103.00020; SigLIP, arXiv 2303.15343.
    """

    def __init__(self, *, biased: bool) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(1 if biased else ()))
        if biased:
            self.logit_bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D), products of two unit vectors' components -> (B,)."""
        reward = self.logit_scale.exp() * x.sum(dim=-1)
        return reward + self.logit_bias if hasattr(self, "logit_bias") else reward


class AspectHead(nn.Module):
    """The log odds of each question of one aspect. All start alike for every image.

    The six questions of a rating share one weight and differ in their biases alone, so that what makes one
    more likely makes all more likely. Problems have a weight each. As the reward's head it computes in the
    dtype of its weights.

    Source: the shared weight is CORAL's: Cao, Mirjalili and Raschka, arXiv 1901.07884, section 3.3.
    """

    def __init__(self, aspect: str, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1 if aspect in RATINGS else questions(aspect), width))
        self.bias = nn.Parameter(torch.zeros(questions(aspect)))

    @torch.no_grad()
    def start_at(self, shares: Sequence[float]) -> None:
        """Predict these probabilities for every image.

        Args: shares: one for each question, above 0 and below 1.
        """
        self.bias.copy_(torch.tensor(shares).logit())

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, questions)."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight) + self.bias


class ArtifactHead(nn.Module):
    """The log odds of each question of one aspect that the picture alone answers, whatever its prompt.

    A flaw is small and lies anywhere: a layer with an activation looks at each patch by itself, and the mean
    and the largest of what it sees anywhere are what an `AspectHead` reads. On the reward's own feature,
    which has met the prompt, little of a picture's cleanliness is left. It computes in the dtype of its
    weights, as the reward's head does.

    Ours; that a small artifact model from a small set of labels does what ensembles of rewards do not:
    arXiv 2601.03468.
    """

    HIDDEN, DROPOUT = 64, 0.2

    def __init__(self, aspect: str, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.look = nn.Linear(width, self.HIDDEN)
        self.dropout = nn.Dropout(self.DROPOUT)
        self.answers = AspectHead(aspect, 2 * self.HIDDEN)

    def start_at(self, shares: Sequence[float]) -> None:
        """Predict these probabilities for every image, as `AspectHead` has it."""
        self.answers.start_at(shares)

    def forward(self, features: Tensor) -> Tensor:
        """(N, P, V), what the image encoder makes of each patch -> (N, questions)."""
        with torch.autocast(features.device.type, enabled=False):
            seen = F.gelu(self.look(self.norm(features.to(self.look.weight.dtype))))  # (N, P, hidden)
            pooled = torch.cat([seen.mean(dim=1), seen.amax(dim=1)], dim=-1)  # (N, 2 hidden)
        return self.answers(self.dropout(pooled))


def expected_rating(logits: Tensor) -> Tensor:
    """(N, 6) -> (N,), from 1 to 7: the mean over ratings is 1 and the probability of each step above it."""
    return 1 + logits.sigmoid().sum(dim=-1)


def aspect_score(aspect: str, logits: Tensor) -> Tensor:
    """(N, questions) -> (N,), higher is better: the expected rating, or minus how many problems to expect."""
    return expected_rating(logits) if aspect in RATINGS else -logits.sigmoid().sum(dim=-1)


def describe_aspects(logits: dict[str, Tensor]) -> list[dict[str, float | dict[str, float]]]:
    """Return each image's expected ratings, and the probability of each problem by its name.

    Args: logits: by aspect, (N, questions).
    """
    columns: dict[str, list[float] | list[dict[str, float]]] = {}
    for aspect, answers in logits.items():
        if aspect in RATINGS:
            columns[aspect] = expected_rating(answers.float()).tolist()
        else:
            columns[aspect] = [
                dict(zip(PROBLEMS, row, strict=True)) for row in answers.float().sigmoid().tolist()
            ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
