"""The preferences of a tuning whose method learns from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from refl.models import TuningRun
from refl.selectors.preferences import preference_dataset
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.services.datasets import dataset_images

if TYPE_CHECKING:
    from refl.learning.pairs import Preference


@contextmanager
def run_preferences(
    run: TuningRun, *, held_out: Collection[str], heartbeat: Heartbeat
) -> Iterator[list[Preference]]:
    """Yield what the run learns from, the same whenever it is resumed; the images are at hand meanwhile.

    Args: held_out: prompts that judge the result; of them nothing is learned.
    Raises: DatasetError; BadPairs where an image is missing; Interrupted; WrongContent.
    """
    from refl.learning.pairs import preferences_of
    from rewardmodel.learning.data.rankings import load_rankings

    dataset = preference_dataset(run.checkpoint, until=run.created_at)
    if dataset is None:
        yield []
        return
    apart = set(held_out)
    with dataset_images(dataset, splits=["train"], should_stop=heartbeat.should_stop) as images:
        rankings = load_rankings(dataset.path, "train", images)
        yield preferences_of(ranking for ranking in rankings if ranking.prompt not in apart)
