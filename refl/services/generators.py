"""Register generators, by hand or from a tuning, and decide whether a tuned one is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from annotation import stored_files
from annotation.models import Project
from annotation.places import to_any_host
from annotation.registry import register_event
from annotation.services.webhooks.events import announce
from annotation.statistics import notation
from annotation.statistics.estimates import Estimate
from refl.learning.families import NotAPipeline
from refl.learning.families.hub import (
    HubUnreachable,
    inspect_repository,
    is_hub_id,
    no_such_folder,
    pinned,
)
from refl.learning.families.inspection import inspect_pipeline
from refl.learning.families.lora_files import check_lora, read_layers
from refl.learning.outcomes import Outcome
from refl.models import Generator, TuningRun
from refl.services.judging import NEGLIGIBLE, Change

LOST = "lost"  # of metrics: standard deviations that it and those it comes from lost beyond chance
GENERATOR_KEPT = register_event("generator.kept", "A tuned generator was kept")


MAX_NAME, MAX_PLACE = 100, 500  # characters, as the columns of `Generator` hold
MAX_STEPS = 1000  # denoising steps of a sample: no pipeline here was trained with more timesteps


class BadGenerator(ValueError):
    """The generator cannot be registered; the message says why."""


class AlreadyJudged(ValueError):
    """The generator was already judged; the verdict stands."""


@transaction.atomic
def register_generator(
    *,
    project: Project,
    name: str,
    pipeline: str | Path,
    steps: int = 50,
    guidance_scale: float = 7.5,
    pretraining: str | Path = "",
    lora: str | Path = "",
) -> Generator:
    """Register a pipeline by hand; it is kept without being judged.

    It is looked at: a folder whole, of a hub id the configurations. A hub id is registered as not yet seen
    where the hub cannot be asked, and is seen when a run has loaded it. It is stored with the commit that was
    seen, so that every run loads the same. What lies below LAUREL_VAR is stored for every host.

    Args:
        pipeline: a folder, absolute or below the project's root, or a hub id, owner/name or
            owner/name@revision.
        steps, guidance_scale: how it is sampled from. The defaults are the paper's guidance and ours.
        pretraining: a folder of pairs.jsonl and its images, named alike; without it, no tuning.
        lora: a file of safetensors over the pipeline, named alike.
    Raises: BadGenerator when the name is in use, or anything is not what it should be.
    """
    _check_texts(name, str(pipeline), str(lora), str(pretraining))
    if Generator.objects.filter(project=project, name=name).exists():
        raise BadGenerator(f"project {project.slug} has a generator {name} already")
    if pretraining and not (Path(settings.ROOT) / pretraining / "pairs.jsonl").is_file():
        raise BadGenerator(f"{pretraining}: no pre-training folder, it has no pairs.jsonl")
    if not (1 <= steps <= MAX_STEPS and 1 <= guidance_scale < math.inf):
        raise BadGenerator(f"a sample takes 1 to {MAX_STEPS:,} steps, at guidance 1 or more")
    is_seen = _look_at(str(pipeline), str(lora))
    for place in (pipeline, lora, pretraining):
        stored_files.store(Path(settings.ROOT, place))
    return Generator.objects.create(
        project=project,
        name=name,
        pipeline=to_any_host(_settled(str(pipeline)) if is_seen else str(pipeline)),
        lora=to_any_host(str(lora)),
        is_seen=is_seen,
        steps=steps,
        guidance_scale=guidance_scale,
        pretraining=to_any_host(str(pretraining)),
        kept=True,
        reason="Registered by hand.",
    )


def _check_texts(name: str, *places: str) -> None:
    """Refuse a name or a place that no row can hold, or no disk. Raises: BadGenerator."""
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise BadGenerator(f"a generator's name is 1 to {MAX_NAME} printable characters, not {name!r}")
    for place in places:
        if len(place) > MAX_PLACE or not place.isprintable():
            raise BadGenerator(f"a place is at most {MAX_PLACE} printable characters, not {place!r}")
        try:
            (Path(settings.ROOT) / place).exists()
        except OSError as error:  # a part of it is longer than any file's name, say
            raise BadGenerator(f"{place}: {error.strerror}") from error


def _look_at(pipeline: str, lora: str) -> bool:
    """Return whether the pipeline could be looked at. Raises: BadGenerator."""
    folder, file = Path(settings.ROOT) / pipeline, Path(settings.ROOT) / lora
    try:
        if lora:
            list(read_layers(file))
        if folder.is_dir():
            inspection = inspect_pipeline(folder, name=pipeline)
            if lora:
                check_lora(file, folder, inspection)
        elif not is_hub_id(pipeline):
            raise no_such_folder(pipeline)
        elif folder.parent.is_dir() and "@" not in pipeline:
            raise BadGenerator(
                f"{pipeline}: no such folder in {folder.parent}; if it is a hub id, write {pipeline}@main"
            )
        else:
            inspect_repository(pipeline)
    except NotAPipeline as error:
        raise BadGenerator(str(error)) from error
    except HubUnreachable:
        return False
    return True


def _settled(pipeline: str) -> str:
    """Return a folder as it is, a hub id with the commit that was looked at."""
    return pipeline if (Path(settings.ROOT) / pipeline).is_dir() else pinned(pipeline)


def mark_seen(generator: Generator) -> None:
    """Note that a run has loaded the generator's pipeline, and which commit of a hub id it was."""
    if not generator.is_seen:
        generator.is_seen = True
        generator.pipeline = _settled(generator.pipeline)
        generator.save(update_fields=["is_seen", "pipeline"])


def register_tuned(*, run: TuningRun) -> Generator:
    """Register the result of a tuning, not yet judged; called again, return the same row."""
    start = run.generator
    tuned, _ = Generator.objects.get_or_create(
        run=run,
        defaults={
            "project": run.project,
            "name": f"tuned-{run.pk}",
            "parent": start,
            "steps": start.steps,
            "guidance_scale": start.guidance_scale,
            "pretraining": start.pretraining,
        },
    )
    return tuned


@transaction.atomic
def record_judge(generator: Generator, *, judge: str, win_rate: Estimate) -> None:
    """Note how often somebody other than a study's people prefers a tuned generator's images to its parent's.

    Asked again, the newest answer counts.

    Args: judge: who, as pages name it; win_rate: a share, ties as half.
    """
    locked = Generator.objects.select_for_update(no_key=True).get(pk=generator.pk)
    rate = {"against": locked.parent_id} | asdict(win_rate)
    locked.metrics |= {"judges": locked.metrics.get("judges", {}) | {judge: rate}}
    locked.save(update_fields=["metrics"])
    generator.metrics = locked.metrics


@transaction.atomic
def keep_if_sound(
    generator: Generator, *, tuned_on: Change, held_out: Mapping[str, Change], guards: Outcome | None = None
) -> bool:
    """Judge a tuned generator, once: keep it only if no reward that it was not tuned on falls.

    A reward falls when its whole interval lies below zero by more than is negligible. What the generators it
    comes from lost counts with it, so that many small losses do not add up. Without a held-out reward there
    is no evidence for the generator, so it is not kept. The reward it was tuned on decides nothing: it is
    expected to rise.

    Args:
        tuned_on: scores of held-out prompts, parent and generator with the same seeds.
        held_out: the same of each reward that it was not tuned on, by name.
        guards: what they made of its run, for the reason and the pages.
    Returns: whether it is kept.
    Raises: AlreadyJudged.
    """
    lost = generator.parent.metrics.get(LOST, 0.0) if generator.parent else 0.0
    allowance = max(0.0, NEGLIGIBLE - lost)
    kept = bool(held_out) and not any(change.is_a_fall(allowance) for change in held_out.values())
    metrics: dict[str, Any] = {"tuned_on": tuned_on.to_dict()}
    if held_out:
        metrics["held_out"] = {name: change.to_dict() for name, change in held_out.items()}
        metrics[LOST] = lost + max(change.loss for change in held_out.values())
    if guards is not None:
        metrics["guards"] = guards.to_dict()
    sentences = [_reason(held_out, allowance), *([guards.sentence()] if guards else [])]
    _judge(generator, kept=kept, reason=" ".join(sentences), metrics=metrics)
    if kept:
        data = {
            "generator": generator.name,
            "pipeline": generator.location,
            "loras": [str(file) for file in generator.loras],
            "reason": generator.reason,
        }
        announce(GENERATOR_KEPT, project=generator.project, data=data)
    return kept


def set_unimproved_aside(generator: Generator, *, guards: Outcome) -> None:
    """Do not keep a generator of which its guards kept nothing: its weights are those it started from.

    Raises: AlreadyJudged.
    """
    _judge(generator, kept=False, reason=guards.sentence(), metrics={"guards": guards.to_dict()})


def set_control_aside(generator: Generator) -> None:
    """Do not keep a generator that no reward had a part in: it serves as a baseline.

    Raises: AlreadyJudged.
    """
    _judge(
        generator,
        kept=False,
        reason="A control: no reward chose or weighed what it learned from.",
        metrics={},
    )


def _judge(generator: Generator, **verdict: Any) -> None:
    if Generator.objects.filter(pk=generator.pk, kept=None).update(**verdict) != 1:
        raise AlreadyJudged(f"{generator} was judged before")
    generator.refresh_from_db()


def _reason(held_out: Mapping[str, Change], allowance: float) -> str:
    if not held_out:
        return "There is no reward model that it was not tuned on, so nothing speaks for it."
    prompts = next(iter(held_out.values())).prompts
    rewards = "; ".join(
        f"{name} {_moved(change, allowance)}: {notation.change(change.difference, change.low, change.high)}"
        for name, change in held_out.items()
    )
    return f"By what it was not tuned on, on {prompts} held-out prompts: {rewards}."


def _moved(change: Change, allowance: float) -> str:
    if change.is_a_fall(allowance):
        return "fell"
    return "fell by less than counts" if change.loss else "did not fall"
