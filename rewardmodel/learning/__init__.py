"""A reward model of human preference on images: load one, score with it, train one.

Plain torch; needs neither Django nor a database. Importing it is cheap: torch comes with the first load.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from rewardmodel.learning.scoring import Precision, Scorer

__all__ = ["available_models", "available_scores", "load", "load_score"]


def available_models() -> list[str]:
    """Return the names of published models that `load` fetches."""
    from rewardmodel.learning.addresses import MODELS

    return list(MODELS)


def load(
    name: str | Path = "ImageReward-v1.0",
    device: str | torch.device | None = None,
    download_root: str | Path | None = None,
    med_config: str | Path | None = None,
    *,
    precision: Precision = "float32",
) -> Scorer:
    """Load a model that scores images for prompts. Arguments before `precision` are the published package's.

    Args:
        name: one of `available_models()`, a checkpoint's folder or file, or a hub id.
        device: where it computes; without one, on a GPU if there is one.
        download_root: the folder for files of published models; without one, ~/.cache/ImageReward.
        med_config: a file of BLIP's text settings; the model must be of these.
        precision: "bfloat16" multiplies matrices in it, several times as fast where the processor can; scores
            differ by about a hundredth.
    Raises: CheckpointError naming the file that is missing or broken.
    """
    from rewardmodel.learning.checkpoints import downloads
    from rewardmodel.learning.scoring import load_scorer

    scorer = load_scorer(downloads.locate(name, download_root), device, precision)
    if med_config is not None:
        downloads.check_text_settings(Path(med_config), scorer.config.backbone)
    return scorer


def available_scores() -> list[str]:
    """Return the names of published scorers, older than reward models, that `load_score` loads."""
    from rewardmodel.learning.addresses import BASELINES

    return list(BASELINES)


def load_score(
    name: str = "CLIP",
    device: str | torch.device | None = None,
    download_root: str | Path | None = None,
) -> Scorer:
    """Load a scorer that reward models are compared with. The arguments are those of the published package.

    Args: as `load` has them; name: one of `available_scores()`.
    Raises: CheckpointError naming the file that is missing or broken.
    """
    from rewardmodel.learning.baselines import load_baseline
    from rewardmodel.learning.devices import device_or_default
    from rewardmodel.learning.scoring import Scorer

    return Scorer(load_baseline(name, download_root), device_or_default(device))
