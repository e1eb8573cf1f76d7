"""Find the generator to tune or sample next, and images of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from annotation.models import Generation, Project, Prompt
from annotation.selectors.projects.images import judged_images
from refl.models import Generator

SAMPLED_PROMPTS = 64  # at each end of a project, among which images of its generators are looked for


class NoGenerator(Exception):
    """The project has no generator that may be used."""


def newest_kept(project: Project) -> Generator:
    """Return the generator that is tuned next and makes the next images.

    One whose pipeline nobody has looked at yet is passed over: its name may be mistyped.

    Raises: NoGenerator.
    """
    kept = Generator.objects.kept().filter(project=project).order_by("-pk")
    generator = kept.seen().first()
    if generator is None and kept:
        raise NoGenerator(f"{project.slug}: {kept[0]} is not seen yet; name it in a run, which loads it")
    if generator is None:
        raise NoGenerator(f"{project.slug}: no generator is kept; register one")
    return generator


def images_by_generator(generators: Sequence[Generator], count: int) -> dict[int, list[Generation]]:
    """Return images that annotators were given, by the id of their generator, at most one of each prompt.

    Only the first and the last prompts of each project are looked at: a generator may have none there.

    Args: count: images of a generator, at most.
    """
    if not generators:
        return {}
    projects = {generator.project_id for generator in generators}
    ends = [
        Prompt.objects.filter(project=project).order_by(order).values_list("pk", flat=True)[:SAMPLED_PROMPTS]
        for project in projects
        for order in ("pk", "-pk")
    ]
    owners = {(generator.project_id, generator.name): generator.pk for generator in generators}
    candidates = (
        judged_images()
        .filter(prompt__in=list(ends[0].union(*ends[1:])), image__isnull=False)
        .filter(generator__in={name for _, name in owners})
        .select_related("image", "prompt")
        .order_by("prompt", "pk")
    )
    images: dict[int, dict[int, Generation]] = defaultdict(dict)
    for image in candidates:
        owner = owners.get((image.prompt.project_id, image.generator))
        if owner is not None and len(images[owner]) < count:
            images[owner].setdefault(image.prompt_id, image)
    return {owner: list(by_prompt.values()) for owner, by_prompt in images.items()}
