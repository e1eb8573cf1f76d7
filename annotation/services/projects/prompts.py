"""Adding prompts and the images made for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import transaction

from annotation.models import Action, Generation, Project, Prompt, User
from annotation.services.actions import record_action
from annotation.services.projects.images import CheckedImage, ImageSource, check_image, store_images

Kind = Action.Kind


class PromptChanged(Exception):
    """The project has this key with another text, or in another split."""

    def __init__(self, key: str, known: str = "with another text") -> None:
        super().__init__(f"prompt {key!r} is known {known}")
        self.key = key


class ImagesRefused(Exception):
    """The prompt cannot have these images: says which, and why."""


class NewImage(NamedTuple):
    """One image to add. `source` names it within its prompt and is what exports give back."""

    content: ImageSource
    source: str
    generator: str = ""
    seed: int | None = None
    parameters: Mapping[str, Any] = {}
    is_flagged: bool = False


@transaction.atomic
def add_prompts(
    *,
    project: Project,
    texts: Mapping[str, str],
    translations: Mapping[str, str] | None = None,
    splits: Mapping[str, str] | None = None,
    by: User | None = None,
) -> tuple[dict[str, Prompt], int]:
    """Add the prompts that the project does not have yet, and translations and splits to those without.

    Args:
        texts: key -> text.
        translations: key -> text in the annotators' language.
        splits: key -> the split in which a dataset publishes it.
        by: who asked, for the log; None: whoever calls this logs more than these.
    Returns: all of them by key, in the order given, and how many are new.
    Raises: PromptChanged when a key is known with another text, or in another split.
    """
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two imports of the same file
    known = {prompt.key: prompt for prompt in project.prompts.filter(key__in=texts)}
    for key, prompt in known.items():
        if prompt.text != texts[key]:
            raise PromptChanged(key)
    translations, splits = translations or {}, splits or {}
    late = [prompt for key, prompt in known.items() if key in translations and not prompt.translation]
    for prompt in late:
        prompt.translation = translations[prompt.key]
    Prompt.objects.bulk_update(late, ["translation"])
    _publish(known, splits)
    new = Prompt.objects.bulk_create(
        Prompt(
            project=project,
            key=key,
            text=text,
            translation=translations.get(key, ""),
            published_split=splits.get(key, ""),
        )
        for key, text in texts.items()
        if key not in known
    )
    if by and new:
        record_action(Kind.PROMPTS_ADDED, project=project, by=by, subject=f"{len(new)} prompts")
    prompts = known | {prompt.key: prompt for prompt in new}
    return {key: prompts[key] for key in texts}, len(new)


def _publish(prompts: Mapping[str, Prompt], splits: Mapping[str, str]) -> None:
    """Note the splits of prompts that had none. Raises: PromptChanged."""
    late = []
    for key in splits.keys() & prompts.keys():
        prompt = prompts[key]
        if prompt.published_split not in ("", splits[key]):
            raise PromptChanged(key, f"in split {prompt.published_split}")
        if not prompt.published_split:
            prompt.published_split = splits[key]
            late.append(prompt)
    Prompt.objects.bulk_update(late, ["published_split"])


@transaction.atomic
def add_generations(
    *, prompt: Prompt, images: Iterable[NewImage], by: User | None = None
) -> list[Generation]:
    """Check, keep and add images made for one prompt; nothing is added when one is refused.

    An assignment claimed before shows the images that were there then.

    Args: by: who asked, for the log; None: whoever calls this logs more than these.
    Raises: ImageRefused for a file; ImagesRefused when they are more than can be placed, or repeated.
    """
    checked = [(image, check_image(image.content)) for image in images]
    added = attach_images(prompt=prompt, images=checked)
    if by and added:
        names = ", ".join(generation.source for generation in added)
        record_action(Kind.IMAGES_ADDED, project=prompt.project_id, by=by, subject=names, prompt=prompt.key)
    return added


@transaction.atomic
def attach_images(*, prompt: Prompt, images: Iterable[tuple[NewImage, CheckedImage]]) -> list[Generation]:
    """Keep checked images and add those that the prompt does not have; returns the added ones.

    An image that came in without its file, by its source, gets the file.

    Raises: ImageRefused when a file changed; ImagesRefused as `add_generations`.
    """
    images = list(images)
    Prompt.objects.select_for_update(no_key=True).get(pk=prompt.pk)
    kept = {generation.source: generation for generation in prompt.generations.all()}
    by_hash = {generation.image_id: generation.source for generation in kept.values() if generation.image_id}
    if len({image.source for image, _ in images}) < len(images):
        raise ImagesRefused("an image is named twice")
    fresh = []
    for image, checked in images:
        twin = by_hash.setdefault(checked.sha256, image.source)
        if twin != image.source:
            raise ImagesRefused(f"{image.source} is the same picture as {twin}")
        known = kept.get(image.source)
        if known is None or known.image_id is None:
            fresh.append((image, checked))
        elif known.image_id != checked.sha256:
            raise ImagesRefused(f"{image.source} is known as another picture")
    total = len({image.source for image, _ in fresh} | set(kept))
    if total > prompt.project.max_images:
        raise ImagesRefused(
            f"{total} images are more than the {prompt.project.max_images} that can be placed"
        )
    stored = store_images(checked for _, checked in fresh)
    return Generation.objects.bulk_create(
        [
            Generation(
                prompt=prompt,
                image=stored[checked.sha256],
                source=image.source,
                generator=image.generator,
                seed=image.seed,
                parameters=dict(image.parameters),
                is_flagged=image.is_flagged,
            )
            for image, checked in fresh
        ],
        update_conflicts=True,
        unique_fields=["prompt", "source"],
        update_fields=["image", "generator", "seed", "parameters", "is_flagged"],
    )
