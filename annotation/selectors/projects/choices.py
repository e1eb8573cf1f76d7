"""What a choice among prompts is made of: those that may be asked about, and those that were."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Max

from annotation.models import Assignment, Generation, Project


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt whose images, two or more, were all scored by one model; they are names in the storage."""

    text: str
    images: tuple[str, ...]


def scored_prompts(prompts: Collection[int], *, scored_by: str) -> dict[int, ScoredPrompt]:
    """Return by id, in the order given, those of these prompts whose images all were scored by this model."""
    rows = Generation.objects.filter(prompt__in=prompts).order_by("pk")
    texts: dict[int, str] = {}
    images: dict[int, list[str | None]] = {}
    for prompt, text, file, model in rows.values_list(
        "prompt_id", "prompt__text", "image__file", "scored_by"
    ):
        texts[prompt] = text
        images.setdefault(prompt, []).append(file if model == scored_by else None)
    scored = {}
    for prompt in prompts:
        files = tuple(file for file in images.get(prompt, ()) if file)
        if len(files) > 1 and len(files) == len(images[prompt]):
            scored[prompt] = ScoredPrompt(texts[prompt], files)
    return scored


def open_prompts(project: Project) -> list[int]:
    """Return the prompts with an open task, in order of ids."""
    tasks = Assignment.objects.ordinary().filter(project=project, state=Assignment.State.OPEN)
    return sorted(set(tasks.order_by().values_list("prompt_id", flat=True)))


def unordered_prompts(project: Project) -> bool:
    """Return whether a prompt with an open task has no place in an order by a design yet."""
    tasks = Assignment.objects.ordinary().filter(project=project, state=Assignment.State.OPEN)
    return tasks.filter(priority=0).exists()


def asked_prompts(project: Project, *, most: int, without: Collection[int] = ()) -> list[int]:
    """Return at most so many prompts that have tasks, open or not, those with the newest first.

    Args: without: prompts that do not count, nor among so many.
    """
    tasks = Assignment.objects.ordinary().filter(project=project).exclude(prompt__in=without)
    newest = tasks.values("prompt").annotate(newest=Max("pk")).order_by("-newest")
    return list(newest.values_list("prompt", flat=True)[:most])
