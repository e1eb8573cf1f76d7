"""Importing known answers: rankings that somebody of the project stands for, in any format of rankings."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.db import transaction

from annotation.models import Project, Prompt, User
from annotation.services.checks.references import NothingToAnswer, NotTrusted
from annotation.services.imports.formats import read_rankings
from annotation.services.imports.formats.record import RankingRecord
from annotation.services.judgements.answers import ImageRating, Judgement, Label
from annotation.services.judgements.judgements import InvalidJudgement
from annotation.services.judgements.references import record_reference


@transaction.atomic
def import_references(
    *,
    project: Project,
    file: Path,
    purpose: str,
    by: User,
    now: datetime,
    generator: random.Random,
    format: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Make each ranking of the file a reference, as an answer of `by`; all or none. Return how many.

    Their prompts and images must be in the project. Others who are named as annotators do not matter.

    Raises: ImportRefused.
    """
    records = read_rankings(project, file, format).records
    keys = [record.key for record in records]
    prompts = {prompt.key: prompt for prompt in project.prompts.filter(key__in=keys)}
    for record in records:
        prompt = prompts.get(record.key)
        if prompt is None or prompt.text != record.text:
            raise record.row.refused(f"the project has no prompt {record.key!r} with this text")
        try:
            record_reference(
                prompt=prompt,
                judgement=_judgement(record, prompt),
                purpose=purpose,
                by=by,
                now=now,
                generator=generator,
            )
        except NothingToAnswer:
            raise record.row.refused(
                f"{by} answered {record.key!r} already, holds another task, or it cannot be ranked"
            ) from None
        except NotTrusted:
            raise record.row.refused(f"{by} may give no known answers, or an image has no file") from None
        except InvalidJudgement as error:
            raise record.row.refused(str(error)) from None
        if progress:
            progress(1)
    return len(records)


def _judgement(record: RankingRecord, prompt: Prompt) -> Judgement:
    """Return the answer, without the stages that the project leaves out. Raises: ImportRefused."""
    ids = dict(prompt.generations.values_list("source", "pk"))
    unknown = [source for source in record.sources if source not in ids]
    if unknown:
        raise record.row.refused(f"prompt {record.key!r} has no image {unknown[0]!r}")
    project, images = prompt.project, [ids[source] for source in record.sources]
    all_problems = record.problems or [None] * len(record.ratings)
    label = Label(record.category, bool(record.intent_unclear), tuple(record.issues or ()))
    ratings = {
        pk: ImageRating(points, tuple(problems or ()))
        for pk, points, problems in zip(images, record.ratings, all_problems, strict=False)
    }
    return Judgement(
        label if project.asks_label and record.category else None,
        ratings if project.asks_ratings else {},
        dict(zip(images, record.slots, strict=True)),
        record.acceptable_slots if project.asks_acceptable else None,
    )
