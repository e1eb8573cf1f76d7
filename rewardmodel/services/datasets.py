"""Freezing what people said into a dataset version that training reads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from annotation import stored_files
from annotation.local_images import local_images
from annotation.models import Assignment, Project, User
from annotation.models.assignments import COMPARED
from annotation.registry import register_action
from annotation.selectors.preferences import (
    FinishedRanking,
    RatedImage,
    finished_rankings,
    finished_ratings,
)
from annotation.selectors.results.agreement import Consensus, project_consensus
from annotation.services.actions import record_action
from annotation.services.judgements.revisions import settle_answers
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.model.aspects import PROBLEMS, RATINGS
from rewardmodel.models import DatasetVersion
from rewardmodel.models.datasets import SPLITS, SplitBy
from rewardmodel.services.splits import Shares, Splits, project_splits

FROZEN = register_action("dataset.frozen", "Dataset frozen")

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
    by: User | None = None,
    because: str = "",
) -> DatasetVersion:
    """Freeze the project's finished rankings; the same rows give the version that there already is.

    1. Lock the answers, so that nobody changes what the dataset is made of.
    2. Read what was finished by then: rankings, and ratings and consensus where they are asked for.
    3. Select the rankings that can be used: all their images are stored, and their prompt's text is published
       in no split that takes precedence (test over validation over train). The others are counted.
    4. Write a row for each.
    5. Describe the rows.
    6. Write the folder, named by the rows' hash, and record the version.

    Args:
        shares: of the prompts that are split by their text.
        split_by: whether prompts that were published in a split stay there.
        soft_labels: each ranking also says with what probability people, all opinions on the prompt together,
            prefer the first image of each pair. One more opinion changes other rankings' too, and the hash.
        ratings: each ranking also says how its author rated each image, and which problems it has.
        by: who asks, for the log; None for a command, or what came due.
        because: why, where nobody asks.
    Raises: NothingToFreeze.
    """
    shares = shares or Shares()
    newest = _lock_answers(project, soft_labels=soft_labels)
    finished = _read_finished(project, until=newest, soft_labels=soft_labels, ratings=ratings)
    splits = project_splits(project, shares=shares, split_by=split_by)
    selected = _select_usable(finished.rankings, splits)
    rows = [_row(ranking, splits, finished) for ranking in selected.rankings]
    if not rows:
        raise NothingToFreeze(
            f"{project.slug}: none of {len(finished.rankings)} finished rankings has all its images"
        )
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    about = _describe(project, text, rows, selected, splits)
    about |= {"soft_labels": soft_labels, "ratings": ratings}
    folder = f"{project.slug}-{about['hash'][:16]}"
    _write_folder(Path(settings.DATASETS_DIR) / folder, text, about)
    answers = len(finished.rankings)
    return _record_version(project, folder, about, answers=answers, newest=newest, by=by, because=because)


@dataclass(frozen=True)
class _Finished:
    """What was finished by some time. `rated` and `consensus` are None where they are not asked for."""

    rankings: Sequence[FinishedRanking]
    rated: Rated | None
    consensus: Consensus | None


@dataclass(frozen=True)
class _Selected:
    """Rankings that can be used; how many lack images; and how many are repeated, by the published split."""

    rankings: Sequence[FinishedRanking]
    left_out: int
    repeated: Mapping[str, int]


def _lock_answers(project: Project, *, soft_labels: bool) -> datetime | None:
    """Let nobody change the answers that the dataset is made of. Returns: when the newest was accepted."""
    kinds = COMPARED if soft_labels else (Assignment.Kind.ORDINARY,)
    answers = Assignment.objects.filter(project=project, kind__in=kinds, state=Assignment.State.ACCEPTED)
    newest: datetime | None = answers.aggregate(at=Max("accepted_at"))["at"]
    if newest:
        settle_answers(project=project, until=newest)
    return newest


def _read_finished(
    project: Project, *, until: datetime | None, soft_labels: bool, ratings: bool
) -> _Finished:
    """Read what was accepted by then: what is accepted meanwhile was not locked and may still change."""
    return _Finished(
        list(finished_rankings(project, until=until)) if until else [],
        finished_ratings(project, until=until) if ratings and until else None,
        project_consensus(project, until=until) if soft_labels else None,
    )


def _select_usable(rankings: Sequence[FinishedRanking], splits: Splits) -> _Selected:
    stored = [
        ranking
        for ranking in rankings
        if len(ranking.images) > 1 and all(image.file for image in ranking.images)
    ]
    selected = [ranking for ranking in stored if _is_in_its_split(ranking, splits)]
    repeated = Counter(ranking.published_split for ranking in stored if not _is_in_its_split(ranking, splits))
    return _Selected(selected, len(rankings) - len(stored), repeated)


def _is_in_its_split(ranking: FinishedRanking, splits: Splits) -> bool:
    """Whether the split that published the prompt is the one that has its text; true where none did."""
    published = ranking.published_split
    return not (published and splits.published) or published == splits.of(ranking.prompt_text)


def _row(ranking: FinishedRanking, splits: Splits, finished: _Finished) -> dict[str, Any]:
    """One line of rankings.jsonl; `rewardmodel.learning.data` reads it."""
    row: dict[str, Any] = {
        "id": str(ranking.assignment_id),
        "prompt": ranking.prompt_text,
        "split": splits.of(ranking.prompt_text),
        "images": [image.file for image in ranking.images],
        "ranking": list(ranking.slots),
    }
    if finished.consensus:
        ids = [image.generation_id for image in ranking.images]
        row["preferred"] = [
            round(finished.consensus.preferred(*pair), DECIMALS) for pair in combinations(ids, 2)
        ]
    if finished.rated is not None:
        row |= _ratings(ranking, finished.rated)
    return row


def _ratings(ranking: FinishedRanking, rated: Rated) -> dict[str, Any]:
    """The ratings and problems of each image, null where the ranking's author gave none."""
    images = [rated.get((ranking.assignment_id, image.generation_id)) for image in ranking.images]
    return {
        "ratings": {name: [image and getattr(image, name) for image in images] for name in RATINGS},
        "problems": [
            None if image is None or image.problems is None else [name in image.problems for name in PROBLEMS]
            for image in images
        ],
    }


def _describe(
    project: Project, text: str, rows: Sequence[dict[str, Any]], selected: _Selected, splits: Splits
) -> dict[str, Any]:
    """The content of dataset.json, but for what was asked for. Args: text: the rows' lines."""
    shares = asdict(splits.shares)
    return {
        "format": FORMAT,
        "project": project.slug,
        "hash": hashlib.sha256(text.encode()).hexdigest(),
        "shares": shares,
        "counts": {split: _count(row for row in rows if row["split"] == split) for split in shares},
        "left_out": selected.left_out,
        "split_by": SplitBy.PUBLISHED if splits.published else SplitBy.HASH,
        "repeated": dict(selected.repeated),
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
    """Named by its content: a folder that is there already is the same one. Every host has it afterwards."""
    if stored_files.exists(folder):
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
    stored_files.store(folder)
    stored_files.let_go(folder)


@transaction.atomic
def _record_version(
    project: Project,
    folder: str,
    about: Mapping[str, Any],
    *,
    answers: int,
    newest: datetime | None,
    by: User | None,
    because: str,
) -> DatasetVersion:
    """Return the version with these rows; record and log it unless there is one."""
    fields = {name: about[name] for name in ("counts", "shares", "left_out", "split_by", "repeated")}
    version, is_new = DatasetVersion.objects.get_or_create(
        project=project,
        hash=about["hash"],
        defaults={**fields, "folder": folder, "answers": answers, "newest_answer": newest},
    )
    if is_new:
        details: dict[str, Any] = {"because": because} if because else {}
        record_action(FROZEN, project=project, by=by, subject=version, **details)
    return version


def dataset_images(
    dataset: DatasetVersion,
    *,
    splits: Iterable[str] = SPLITS,
    should_stop: Callable[[], bool] = lambda: False,
) -> AbstractContextManager[Path]:
    """Give the folder of the images of some splits, as `local_images` does: what their paths are relative to.

    Raises: DatasetError, Interrupted when asked to stop.
    """
    return local_images(_image_names(dataset, splits, should_stop))


def _image_names(
    dataset: DatasetVersion, splits: Iterable[str], should_stop: Callable[[], bool]
) -> Iterator[str]:
    from rewardmodel.learning.data.rankings import load_splits

    with stored_files.local_copy(dataset.path) as folder:
        rankings = load_splits(folder, Path())
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
