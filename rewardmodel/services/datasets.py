"""Freezing what people said into a dataset version that training reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max

from annotation.local_images import local_images
from annotation.models import Assignment, Project
from annotation.models.assignments import COMPARED
from annotation.selectors.preferences import (
    FinishedRanking,
    RatedImage,
    finished_rankings,
    finished_ratings,
)
from annotation.selectors.results.agreement import Consensus, project_consensus
from annotation.services.judgements.revisions import settle_answers
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.model.aspects import PROBLEMS, RATINGS
from rewardmodel.models import DatasetVersion
from rewardmodel.models.datasets import SPLITS, SplitBy
from rewardmodel.services.splits import Shares, Splits, project_splits

FORMAT = 1  # of the folder; written into dataset.json
DECIMALS = 4  # of a soft label
Rated = Mapping[tuple[int, int], RatedImage]  # by assignment and generation id


class NothingToFreeze(Exception):
    """No finished ranking of the project has all its images."""


def freeze_dataset(
    *,
    project: Project,
    shares: Shares | None = None,
    split_by: str = SplitBy.PUBLISHED,
    soft_labels: bool = False,
    ratings: bool = False,
) -> DatasetVersion:
    """Freeze the project's finished rankings; the same rows give the version that there already is.

    Rankings are left out, and counted, where an image is not at hand; and where the prompt's text is
    published in a split that takes precedence over the one in which the prompt is: test over validation over
    train.

    Args:
        shares: of the prompts that are split by their text.
        split_by: whether prompts that were published in a split stay there.
        soft_labels: each ranking also says with what probability people, all opinions on the prompt together,
            prefer the first image of each pair. One more opinion changes other rankings' too, and the hash.
        ratings: each ranking also says how its author rated each image, and which problems it has.
    Raises: NothingToFreeze.
    """
    shares = shares or Shares()
    newest = _settle(project, soft_labels)
    # What is accepted while we read was not settled and may still change.
    rankings = list(finished_rankings(project, until=newest)) if newest else []
    rated = finished_ratings(project, until=newest) if ratings and newest else None
    consensus = project_consensus(project, until=newest) if soft_labels else None
    splits = project_splits(project, shares=shares, split_by=split_by)
    usable = [ranking for ranking in rankings if _is_usable(ranking)]
    kept = [ranking for ranking in usable if _is_in_its_split(ranking, splits)]
    repeated = Counter(ranking.published_split for ranking in usable if not _is_in_its_split(ranking, splits))
    rows = [_row(ranking, splits, consensus, rated) for ranking in kept]
    if not rows:
        raise NothingToFreeze(f"{project.slug}: none of {len(rankings)} finished rankings has all its images")
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    folder = f"{project.slug}-{digest[:16]}"
    counts = {split: _count(row for row in rows if row["split"] == split) for split in asdict(shares)}
    about: dict[str, Any] = {
        "format": FORMAT,
        "project": project.slug,
        "hash": digest,
        "shares": asdict(shares),
        "counts": counts,
        "left_out": len(rankings) - len(usable),
        "split_by": SplitBy.PUBLISHED if splits.published else SplitBy.HASH,
        "repeated": dict(repeated),
        "soft_labels": soft_labels,
        "ratings": ratings,
    }
    _write_folder(Path(settings.DATASETS_DIR) / folder, text, about)
    version, _ = DatasetVersion.objects.get_or_create(
        project=project,
        hash=digest,
        defaults={
            "folder": folder,
            "counts": counts,
            "shares": asdict(shares),
            "answers": len(rankings),
            "left_out": about["left_out"],
            "split_by": about["split_by"],
            "repeated": about["repeated"],
            "newest_answer": newest,
        },
    )
    return version


def dataset_images(
    dataset: DatasetVersion,
    *,
    splits: Iterable[str] = SPLITS,
    should_stop: Callable[[], bool] = lambda: False,
) -> AbstractContextManager[Path]:
    """Give the folder of the images of some splits, as `local_images` does: what their paths are relative to.

    Raises: DatasetError, Interrupted when asked to stop, WrongContent.
    """
    return local_images(_image_names(dataset, splits, should_stop))


def _image_names(
    dataset: DatasetVersion, splits: Iterable[str], should_stop: Callable[[], bool]
) -> Iterator[str]:
    from rewardmodel.learning.data.rankings import load_splits

    rankings = load_splits(dataset.path, Path())
    for ranking in chain.from_iterable(rankings[split] for split in splits):
        if should_stop():
            raise Interrupted
        yield from map(str, ranking.images)


def record_ceiling(dataset: DatasetVersion, *, ceiling: float) -> None:
    """Say how accurate people themselves are on the test split.

    Args: ceiling: share of its pairs, 0 to 1.
    """
    dataset.ceiling = ceiling
    dataset.save(update_fields=["ceiling"])


def _settle(project: Project, soft_labels: bool) -> datetime | None:
    """Let nobody change the answers that the dataset is made of; when the newest of them was accepted."""
    kinds = COMPARED if soft_labels else (Assignment.Kind.ORDINARY,)
    answers = Assignment.objects.filter(project=project, kind__in=kinds, state=Assignment.State.ACCEPTED)
    newest: datetime | None = answers.aggregate(at=Max("accepted_at"))["at"]
    if newest:
        settle_answers(project=project, until=newest)
    return newest


def _is_usable(ranking: FinishedRanking) -> bool:
    return len(ranking.images) > 1 and all(image.file for image in ranking.images)


def _is_in_its_split(ranking: FinishedRanking, splits: Splits) -> bool:
    """Whether the split that published the prompt is the one that has its text; true where none did."""
    own = ranking.published_split
    return not (own and splits.published) or own == splits.of(ranking.prompt_text)


def _row(
    ranking: FinishedRanking, splits: Splits, consensus: Consensus | None, rated: Rated | None
) -> dict[str, Any]:
    """One line of rankings.jsonl; `rewardmodel.learning.data` reads it."""
    row: dict[str, Any] = {
        "id": str(ranking.assignment_id),
        "prompt": ranking.prompt_text,
        "split": splits.of(ranking.prompt_text),
        "images": [image.file for image in ranking.images],
        "ranking": list(ranking.slots),
    }
    if consensus:
        ids = [image.generation_id for image in ranking.images]
        row["preferred"] = [round(consensus.preferred(*pair), DECIMALS) for pair in combinations(ids, 2)]
    if rated is not None:
        row |= _ratings(ranking, rated)
    return row


def _ratings(ranking: FinishedRanking, rated: Rated) -> dict[str, Any]:
    """Of each image, null where its author did not say."""
    seen = [rated.get((ranking.assignment_id, image.generation_id)) for image in ranking.images]
    return {
        "ratings": {name: [each and getattr(each, name) for each in seen] for name in RATINGS},
        "problems": [
            None if each is None or each.problems is None else [name in each.problems for name in PROBLEMS]
            for each in seen
        ],
    }


def _count(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    rankings = pairs = ties = 0
    prompts, images = set(), set()
    for row in rows:
        slots = row["ranking"]
        all_pairs = len(slots) * (len(slots) - 1) // 2
        tied = sum(slots[i] == other for i in range(len(slots)) for other in slots[i + 1 :])
        rankings, pairs, ties = rankings + 1, pairs + all_pairs - tied, ties + tied
        prompts.add(row["prompt"])
        images.update(row["images"])
    return {
        "rankings": rankings,
        "pairs": pairs,
        "ties": ties,
        "prompts": len(prompts),
        "images": len(images),
    }


def _write_folder(folder: Path, rankings: str, about: dict[str, Any]) -> None:
    """Named by its content: a folder that is there already is the same one."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    written = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, text in (
            ("rankings.jsonl", rankings),
            ("dataset.json", json.dumps(about, indent=2) + "\n"),
        ):
            with (written / name).open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        written.chmod(0o755)
        try:
            written.rename(folder)
        except OSError:  # another process froze the same rows meanwhile
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(written, ignore_errors=True)
