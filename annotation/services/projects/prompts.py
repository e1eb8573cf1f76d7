"""Adding prompts and the images made for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.db import connection, transaction

from annotation.models import Action, Generation, Project, Prompt, User
from annotation.services.actions import record_action
from annotation.services.projects.images import CheckedImage, ImageSource, check_image, store_images

Kind = Action.Kind


class PromptRefused(Exception):
    """A prompt cannot be added; the message says which, and why."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"prompt {key!r} {why}")
        self.key = key


class PromptChanged(PromptRefused):
    """The project has a prompt of this key with another text, or in another split."""

    def __init__(self, key: str, known: str = "with another text") -> None:
        super().__init__(key, f"is known {known}")


class PromptTooLong(PromptRefused):
    """A new prompt, or its translation, is longer than the project lets it be."""

    def __init__(self, key: str, letters: int, longest: int) -> None:
        super().__init__(key, f"has {letters:,} letters, and may have {longest:,} by the project's settings")


class ImagesRefused(Exception):
    """The prompt cannot have these images; the message says which, and why."""


class NewImage(NamedTuple):
    """One image to add. `source` is its name within the prompt, by which exports refer to it."""

    content: ImageSource
    source: str
    generator: str = ""
    seed: int | None = None
    parameters: Mapping[str, Any] = {}
    is_flagged: bool = False


def own_id(text: str) -> str:
    """Return the id for a prompt without one: the same text has the same id."""
    return f"text-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@transaction.atomic
def add_prompts(
    *,
    project: Project,
    texts: Mapping[str, str],
    translations: Mapping[str, str] = {},
    splits: Mapping[str, str] = {},
    by: User | None = None,
) -> tuple[dict[str, Prompt], int]:
    """Add the prompts that the project lacks; return all by key, in the order given, and how many are new.

    1. Find the prompts that it has, and check them and the lengths of the others (`check_texts`).
    2. Fill in missing translations and splits of known prompts (`_add_translations`, `_add_splits`).
    3. Create the others.

    Args:
        texts: key -> text.
        translations: key -> text in the annotators' language.
        splits: key -> the split in which a dataset publishes the prompt.
        by: who asked, for the log; None: the caller writes the log.
    Raises: PromptChanged when a key is known with another text, or in another split; PromptTooLong.
    """
    known_prompts = check_texts(project=project, texts=texts, translations=translations, splits=splits)
    _add_translations(known_prompts, translations)
    _add_splits(known_prompts, splits)
    new = Prompt.objects.bulk_create(
        Prompt(
            project=project,
            key=key,
            text=text,
            translation=translations.get(key, ""),
            published_split=splits.get(key, ""),
        )
        for key, text in texts.items()
        if key not in known_prompts
    )
    if by and new:
        ids = [prompt.pk for prompt in new]
        record_action(
            Kind.PROMPTS_ADDED, project=project, by=by, subject=f"{len(new)} prompts", prompt_ids=ids
        )
    prompts = known_prompts | {prompt.key: prompt for prompt in new}
    return {key: prompts[key] for key in texts}, len(new)


@transaction.atomic
def check_texts(
    *,
    project: Project,
    texts: Mapping[str, str],
    translations: Mapping[str, str] = {},
    splits: Mapping[str, str] = {},
) -> dict[str, Prompt]:
    """Return the prompts that the project has, by key; nothing is written.

    Args: as of `add_prompts`.
    Raises: PromptChanged when a key is known with another text, or in another split; PromptTooLong.
    """
    known_prompts = _known_prompts(project, texts)
    for key, prompt in known_prompts.items():
        if key in splits and prompt.published_split not in ("", splits[key]):
            raise PromptChanged(key, f"in split {prompt.published_split}")
    _check_lengths(project, {key: text for key, text in texts.items() if key not in known_prompts})
    _check_lengths(project, translations)
    return known_prompts


def lock_prompts(project: Project) -> None:
    """Let nobody else add prompts to the project until this transaction ends.

    It is no lock of the project's row: an import may hold it for minutes, while revisions and requests for
    exports go on. Whoever locks the row too locks it after this, or does not wait for this.
    """
    _advisory_lock("pg_advisory_xact_lock", project)


def try_lock_prompts(project: Project) -> bool:
    """Do as `lock_prompts`, unless somebody adds prompts just now. Returns: whether it is locked."""
    return bool(_advisory_lock("pg_try_advisory_xact_lock", project))


def _advisory_lock(function: str, project: Project) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [f"prompts {project.pk}"])
        return cursor.fetchone()[0]


def _known_prompts(project: Project, texts: Mapping[str, str]) -> dict[str, Prompt]:
    """Return the prompts that the project has. Raises: PromptChanged for another text."""
    lock_prompts(project)  # two imports of the same file
    prompts = {prompt.key: prompt for prompt in project.prompts.filter(key__in=texts)}
    for key, prompt in prompts.items():
        if prompt.text != texts[key]:
            raise PromptChanged(key)
    return prompts


def _check_lengths(project: Project, texts: Mapping[str, str]) -> None:
    """Raises: PromptTooLong."""
    for key, text in texts.items():
        if len(text) > project.longest_prompt:
            raise PromptTooLong(key, len(text), project.longest_prompt)


def _add_translations(prompts: Mapping[str, Prompt], translations: Mapping[str, str]) -> None:
    """Set the translations of prompts that have none."""
    incomplete = [prompt for key, prompt in prompts.items() if key in translations and not prompt.translation]
    for prompt in incomplete:
        prompt.translation = translations[prompt.key]
    Prompt.objects.bulk_update(incomplete, ["translation"])


def _add_splits(prompts: Mapping[str, Prompt], splits: Mapping[str, str]) -> None:
    """Set the splits of prompts that have none."""
    incomplete = [prompt for key, prompt in prompts.items() if key in splits and not prompt.published_split]
    for prompt in incomplete:
        prompt.published_split = splits[prompt.key]
    Prompt.objects.bulk_update(incomplete, ["published_split"])


@transaction.atomic
def add_generations(
    *, prompt: Prompt, images: Iterable[NewImage], by: User | None = None
) -> list[Generation]:
    """Check, store and add images of one prompt; nothing is added when one is refused.

    An assignment that is claimed already shows the images that the prompt had then.

    Args: by: who asked, for the log; None: the caller writes the log.
    Raises: ImageRefused for a file; ImagesRefused when they are more than can be placed, or repeated.
    """
    checked = [(image, check_image(image.content)) for image in images]
    added = attach_images(prompt=prompt, images=checked)
    if by and added:
        names = ", ".join(generation.source for generation in added)
        record_action(
            Kind.IMAGES_ADDED,
            project=prompt.project_id,
            by=by,
            subject=names,
            prompt_ids=[prompt.pk],
            prompt=prompt.key,
        )
    return added


@transaction.atomic
def attach_images(*, prompt: Prompt, images: Iterable[tuple[NewImage, CheckedImage]]) -> list[Generation]:
    """Store checked images and add those that the prompt does not have; return the added ones.

    1. Lock the prompt, and leave out the images that it has with their files (`missing_images`).
    2. Store the files of the others (`store_images`).
    3. Create them; an image that was imported without its file, by its source, gets the file.

    Raises: ImageRefused when a file changed; ImagesRefused as `add_generations`.
    """
    Prompt.everything.select_for_update(no_key=True).get(pk=prompt.pk)
    missing = missing_images(list(images), known=prompt.generations.all(), most=prompt.project.max_images)
    stored_images = store_images(checked for _, checked in missing)
    return Generation.objects.bulk_create(
        [
            Generation(
                prompt=prompt,
                image=stored_images[checked.sha256],
                source=image.source,
                generator=image.generator,
                seed=image.seed,
                parameters=dict(image.parameters),
                is_flagged=image.is_flagged,
            )
            for image, checked in missing
        ],
        update_conflicts=True,
        unique_fields=["prompt", "source"],
        update_fields=["image", "generator", "seed", "parameters", "is_flagged"],
    )


def missing_images(
    images: list[tuple[NewImage, CheckedImage]], *, known: Iterable[Generation], most: int
) -> list[tuple[NewImage, CheckedImage]]:
    """Return the images that a prompt does not have, or has without a file.

    Args: known: the prompt's; most: as many as it may have.
    Raises: ImagesRefused.
    """
    by_source = {generation.source: generation for generation in known}
    by_hash = {
        generation.image_id: generation.source for generation in by_source.values() if generation.image_id
    }
    if len({image.source for image, _ in images}) < len(images):
        raise ImagesRefused("an image is named twice")
    missing = []
    for image, checked in images:
        twin = by_hash.setdefault(checked.sha256, image.source)
        if twin != image.source:
            raise ImagesRefused(f"{image.source} is the same picture as {twin}")
        generation = by_source.get(image.source)
        if generation is None or generation.image_id is None:
            missing.append((image, checked))
        elif generation.image_id != checked.sha256:
            raise ImagesRefused(f"{image.source} is known as another picture")
    total = len({image.source for image, _ in missing} | set(by_source))
    if total > most:
        raise ImagesRefused(f"{total} images are more than the {most} that can be placed")
    return missing
