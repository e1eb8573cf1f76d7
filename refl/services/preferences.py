"""The preferences of a tuning whose method learns from them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotation.saving import write_whole
from annotation.stored_files import local_copy
from refl.models import TuningRun
from refl.selectors.preferences import preference_dataset
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.services.datasets import dataset_images
from rewardmodel.services.unreadable import check_unreadable, look_at, record_unreadable

if TYPE_CHECKING:
    from refl.learning.pairs import Preference
    from rewardmodel.learning.data.rankings import Ranking


@contextmanager
def run_preferences(
    run: TuningRun, *, held_out: Collection[str], heartbeat: Heartbeat
) -> Iterator[list[Preference]]:
    """Yield what the run learns from, the same whenever it is resumed; the images are at hand meanwhile.

    Rankings with an image that cannot be read are left out, and the images named with the run.

    Args: held_out: prompts that judge the result; of them nothing is learned.
    Raises: DatasetError; TooManyUnreadable; Interrupted.
    """
    from refl.learning.pairs import preferences_of
    from rewardmodel.learning.data.rankings import load_rankings

    dataset = preference_dataset(run.checkpoint, until=run.created_at)
    if dataset is None:
        yield []
        return
    apart = set(held_out)
    with dataset_images(dataset, splits=["train"], should_stop=heartbeat.should_stop) as images:
        with local_copy(dataset.path) as folder:
            rankings = load_rankings(folder, "train", images)
        learned = [ranking for ranking in rankings if ranking.prompt not in apart]
        unreadable = _unreadable(run, learned)
        yield preferences_of(
            ranking for ranking in learned if not any(image.name in unreadable for image in ranking.images)
        )


def _unreadable(run: TuningRun, rankings: Sequence[Ranking]) -> dict[str, str]:
    """Return which images cannot be read, name -> why, now or whenever the run was begun or resumed before.

    So a resumed run learns from the same, even if an image was put back.

    Raises: TooManyUnreadable.
    """
    files = {image for ranking in rankings for image in ranking.images}
    report = run.folder / "unreadable.json"
    earlier: dict[str, str] = json.loads(report.read_text()) if report.exists() else {}
    unreadable = earlier | {file.name: why for file, why in look_at(sorted(files)).items()}
    record_unreadable(run, unreadable, images=len(files), of="preferences")
    check_unreadable(unreadable, images=len(files))
    report.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(report) as unfinished:
        unfinished.write_text(json.dumps(unreadable))
    return unreadable
