"""Register generators, by hand or from a tuning, and decide whether a tuned one is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from annotation.models import Project
from annotation.registry import register_event
from annotation.services.webhooks.events import announce
from refl.models import Generator, TuningRun
from refl.services.judging import Change

GENERATOR_KEPT = register_event("generator.kept", "A tuned generator was kept")


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
) -> Generator:
    """Register a pipeline by hand; it is kept without being judged.

    Args:
        pipeline: a folder, absolute or below the project's root, or a hub id.
        steps, guidance_scale: how it is sampled from. The defaults are the paper's guidance and ours.
        pretraining: a folder of pairs.jsonl and its images, named alike; without it, no tuning.
    Raises: BadGenerator when the name is in use, or a folder is not what it should be.
    """
    if Generator.objects.filter(project=project, name=name).exists():
        raise BadGenerator(f"project {project.slug} has a generator {name} already")
    folder = Path(settings.ROOT) / pipeline
    is_folder = folder.is_dir() or Path(pipeline).is_absolute()
    if is_folder and not (folder / "model_index.json").is_file():
        raise BadGenerator(f"{pipeline}: no diffusers pipeline, it has no model_index.json")
    if pretraining and not (Path(settings.ROOT) / pretraining / "pairs.jsonl").is_file():
        raise BadGenerator(f"{pretraining}: no pre-training folder, it has no pairs.jsonl")
    if steps < 1 or guidance_scale < 1:
        raise BadGenerator("a sample takes 1 step or more, at guidance 1 or more")
    return Generator.objects.create(
        project=project,
        name=name,
        pipeline=str(pipeline),
        steps=steps,
        guidance_scale=guidance_scale,
        pretraining=str(pretraining),
        kept=True,
        reason="Registered by hand.",
    )


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
def keep_if_sound(generator: Generator, *, tuned_on: Change, independent: Change | None) -> bool:
    """Judge a tuned generator, once: keep it only if a reward it was not tuned on does not fall.

    A reward falls when the whole interval of its change lies below zero. Without an independent reward there
    is no evidence for the generator, so it is not kept. The reward it was tuned on decides nothing: it is
    expected to rise.

    Args: tuned_on, independent: scores of held-out prompts, parent and generator with the same seeds.
    Returns: whether it is kept.
    Raises: AlreadyJudged.
    """
    kept = independent is not None and not independent.is_a_fall
    metrics = {"tuned_on": tuned_on.to_dict()}
    if independent is not None:
        metrics["independent"] = independent.to_dict()
    _judge(generator, kept=kept, reason=_reason(independent), metrics=metrics)
    if kept:
        data = {"generator": generator.name, "pipeline": generator.location, "reason": generator.reason}
        announce(GENERATOR_KEPT, project=generator.project, data=data)
    return kept


def set_control_aside(generator: Generator) -> None:
    """Do not keep a generator that was tuned without a reward: it serves as a baseline.

    Raises: AlreadyJudged.
    """
    _judge(generator, kept=False, reason="A control: it was tuned with reward weight 0.", metrics={})


def _judge(generator: Generator, **verdict: Any) -> None:
    if Generator.objects.filter(pk=generator.pk, kept=None).update(**verdict) != 1:
        raise AlreadyJudged(f"{generator} was judged before")
    generator.refresh_from_db()


def _reason(independent: Change | None) -> str:
    if independent is None:
        return "There is no reward model that it was not tuned on, so nothing speaks for it."
    word = "fell" if independent.is_a_fall else "did not fall"
    return (
        f"The reward it was not tuned on {word}: {independent.difference:+.3g} "
        f"[{independent.low:+.3g}, {independent.high:+.3g}] on {independent.prompts} held-out prompts."
    )
