"""Blind studies: opened on held-out prompts, answered in the ordinary queue, closed when enough is known."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q, QuerySet

from annotation.jobs import JobLost
from annotation.models import Project, User
from annotation.registry import ActionKind, register_action, register_event
from annotation.services.actions import record_action
from annotation.services.assignments.studies import (
    add_study_prompts,
    close_study_prompts,
    open_study_assignments,
)
from annotation.services.webhooks.events import announce
from refl.models import Generator, SamplingRun, Study, StudyConfig, StudyGenerator, StudyTask
from refl.selectors.studies import study_progress
from refl.selectors.study_answers import Rate
from refl.services.sampling import SamplingConfig
from refl.services.study_plans import (
    PROMPTS,
    CannotStudy,
    check_config,
    check_generators,
    check_tasks,
    choose_texts,
    facts_of,
    held_out_texts,
    subjects,
)
from rewardmodel.runs import states

STUDY_CLOSED = register_event("study.closed", "A blind study of generators was closed")
OPENED = register_action("study.opened", "Study opened")
CLOSED = register_action("study.closed", "Study closed")
PUBLISHED = register_action("study.published", "Study's public link made")
UNPUBLISHED = register_action("study.unpublished", "Study's public link withdrawn")

MAX_NAME = 100


@transaction.atomic
def open_study(
    *,
    project: Project,
    generators: Sequence[Generator],
    name: str = "",
    design: str = Study.Design.PAIRS,
    captions: int | None = None,
    images_per_caption: int = 1,
    opinions: int = 1,
    confidence: float = 0.95,
    stops: bool = True,
    margin: float = 0.1,
    texts: Sequence[str] | None = None,
    rng: random.Random,
    by: User | None = None,
    because: str = "",
) -> Study:
    """Queue the images of a blind comparison of generators; annotators are asked when all are there.

    1. Check what is compared and how it is asked (`check_generators`, `check_config`).
    2. Choose the texts (`choose_texts`).
    3. Queue the run that makes the images, each seed once by every generator.
    4. Create the tasks in random order (`subjects`).

    Args:
        generators: two or more; the first is the base that the others are compared with.
        name: how pages call it; "" names the generators.
        captions: how many prompts; None for 100, or all held-out ones where there are fewer.
        texts: ask about these, instead of drawing from the project's held-out texts.
        rng: draws texts, seeds and the order of tasks.
        by: who opens it, for the log; None for a command.
        because: why, where nobody asks.
        design, images_per_caption, opinions, confidence, stops, margin: `StudyConfig`.
    Raises: CannotStudy.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # a name is used once
    check_generators(project, generators)
    config = StudyConfig(
        design,
        PROMPTS if captions is None else captions,
        images_per_caption,
        opinions,
        confidence,
        stops,
        margin,
    )
    check_config(project, config, len(generators))
    chosen = choose_texts(project, generators, prompts=captions, texts=texts, rng=rng)
    config = replace(config, captions=len(chosen))
    check_tasks(config, len(generators))
    tasks = list(subjects(chosen, config, len(generators), rng))
    facts = facts_of(project, chosen)
    prompts = add_study_prompts(
        project=project,
        texts=[chosen[task.number] for task in tasks],
        translations=[facts[chosen[task.number]].translation for task in tasks],
    )
    run = _queue_images(generators, config, [prompt.pk for prompt in prompts], by=by, because=because)
    study = Study.objects.create(
        project=project,
        name=_name(project, generators, name),
        config=config.to_dict(),
        run=run,
        opened_by=by,
    )
    StudyGenerator.objects.bulk_create(
        StudyGenerator(study=study, generator=generator, place=place)
        for place, generator in enumerate(generators)
    )
    StudyTask.objects.bulk_create(
        StudyTask(
            study=study,
            prompt=prompt,
            caption=task.number,
            seed=task.seed,
            places=list(task.places),
            category=facts[chosen[task.number]].category,
        )
        for task, prompt in zip(tasks, prompts, strict=True)
    )
    record_action(OPENED, project=project, by=by, subject=study, **config.to_dict())
    return study


def _queue_images(
    generators: Sequence[Generator],
    config: StudyConfig,
    prompts: Sequence[int],
    *,
    by: User | None,
    because: str,
) -> SamplingRun:
    base, *others = generators
    run = SamplingRun.objects.create(
        project=base.project,
        generator=base,
        config=asdict(
            SamplingConfig(
                pool=tuple(prompts),
                prompts=config.captions,
                per_prompt=config.images_per_caption,
                beside=tuple(other.pk for other in others),
            )
        ),
        steps=config.captions * config.images_per_caption * len(generators),
    )
    return states.record_request(run, by=by, because=because)


def _name(project: Project, generators: Sequence[Generator], name: str) -> str:
    """Return a name that no study of the project has. Raises: CannotStudy for a bad one."""
    wanted = name.strip()
    if len(wanted) > MAX_NAME or not wanted.isprintable():
        raise CannotStudy(f"name: at most {MAX_NAME} printable characters")
    base, *others = map(str, generators)
    if wanted and Study.objects.filter(project=project, name=wanted).exists():
        raise CannotStudy(f"name: {project.slug} has a study {wanted!r} already")
    return wanted or _free_name(project, f"{', '.join(others)} against {base}")


def _free_name(project: Project, name: str) -> str:
    """Return the name, cut where it is too long, with a number where a study of the project has it."""
    taken = set(Study.objects.filter(project=project).values_list("name", flat=True))
    numbers = ["", *(f" ({number})" for number in range(2, len(taken) + 3))]
    numbered = (name[: MAX_NAME - len(number)] + number for number in numbers)
    return next(free for free in numbered if free not in taken)


@transaction.atomic
def ask_annotators(study: Study, *, now: datetime) -> bool:
    """Open the tasks of a study whose images are all there; called again, change nothing.

    All open at once, so that when a task came says nothing about its images.

    Returns: whether annotators are asked now and were not before.
    """
    locked = Study.objects.select_for_update(no_key=True).get(pk=study.pk)
    tasks = StudyTask.objects.filter(study=locked, withdrawn="").select_related("prompt")
    if locked.state != Study.State.DRAWING or not tasks or tasks.filter(prompt__generations=None).exists():
        return False
    open_study_assignments(prompts=[task.prompt for task in tasks], opinions=locked.settings.opinions)
    locked.state, locked.opened_at = Study.State.OPEN, now
    locked.save(update_fields=["state", "opened_at"])
    study.refresh_from_db()
    return True


@transaction.atomic
def close_study(study: Study, *, reason: str, now: datetime, by: User | None = None) -> Study:
    """End a study: nobody new is asked, and what somebody has in hand may still be submitted.

    The images of one that is still drawing are cancelled. Closing it again changes nothing.

    Args: reason: a sentence for its page; by: who closes it, in the log alone; None where it ended by itself.
    """
    locked = Study.objects.select_for_update(no_key=True).get(pk=study.pk)
    if locked.state == Study.State.CLOSED:
        return locked
    if not locked.run.is_over:
        with suppress(JobLost):  # it ended this moment
            states.cancel(locked.run, now=now, by=by)
    close_study_prompts(prompts=_prompts_of(locked), now=now)
    locked.state, locked.closed_at = Study.State.CLOSED, now
    locked.reason = reason.strip() or "Closed by hand."
    rates, _ = study_progress(locked)
    locked.figures = _stored(rates)
    locked.save(update_fields=["state", "closed_at", "reason", "figures"])
    record_action(CLOSED, project=locked.project_id, by=by, subject=locked, reason=locked.reason)
    announce(STUDY_CLOSED, project=locked.project, data={"study": locked.pk, "reason": locked.reason})
    return locked


def record_look(study: Study, rates: Sequence[Rate], *, pulse: Mapping[str, Any], now: datetime) -> None:
    """Note that a study was looked at: its win rates, unless it is closed, with which these are noted.

    Args: pulse: as `study_pulse` returned it before the answers were read.
    """
    Study.objects.filter(pk=study.pk).update(pulse=pulse, looked_at=now)
    unclosed = ~Q(state=Study.State.CLOSED) | Q(figures__isnull=True)
    Study.objects.filter(unclosed, pk=study.pk).update(figures=_stored(rates))


def _stored(rates: Sequence[Rate]) -> list[dict[str, Any]]:
    return [asdict(rate.stored) for rate in rates]


def repeat_study(study: Study, *, rng: random.Random, by: User | None = None) -> Study:
    """Open a study of the same generators, asked in the same way, with texts and seeds drawn anew.

    Raises: CannotStudy.
    """
    config = study.settings
    return open_study(
        project=study.project,
        generators=study.compared,
        name=_free_name(study.project, re.sub(r" \(\d+\)$", "", study.name)),
        design=config.design,
        captions=min(config.captions, len(held_out_texts(study.project, study.compared))) or None,
        images_per_caption=config.images_per_caption,
        opinions=config.opinions,
        confidence=config.confidence,
        stops=config.stops,
        margin=config.margin,
        rng=rng,
        by=by,
    )


@transaction.atomic
def withdraw_tasks(tasks: QuerySet[StudyTask], *, reason: str, now: datetime) -> int:
    """Ask nobody any more about these tasks; answers they have still count. Returns: how many there were."""
    asked = tasks.filter(withdrawn="")
    prompts = list(asked.values_list("prompt_id", flat=True))
    close_study_prompts(prompts=prompts, now=now)
    return StudyTask.objects.filter(prompt__in=prompts).update(withdrawn=reason)


@transaction.atomic
def publish_study(study: Study, *, by: User | None) -> Study:
    """Make a public link to the study's results, which replaces an earlier one."""
    return _set_link(study, PUBLISHED, by=by, public_token=uuid4())


@transaction.atomic
def withdraw_link(study: Study, *, by: User | None) -> Study:
    """Make the study's public link lead nowhere."""
    return _set_link(study, UNPUBLISHED, by=by, public_token=None)


def _set_link(study: Study, action: ActionKind, *, by: User | None, public_token: UUID | None) -> Study:
    study.public_token = public_token
    study.save(update_fields=["public_token"])
    record_action(action, project=study.project_id, by=by, subject=study)
    return study


def _prompts_of(study: Study) -> list[int]:
    return list(study.tasks.values_list("prompt_id", flat=True))
