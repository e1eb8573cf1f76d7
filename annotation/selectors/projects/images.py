"""Image files that a user may fetch, and harmful images, which are hidden by default."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from annotation.access import Do, projects_where
from annotation.models import Generation, Image, Project, Rating, User
from annotation.models.judgements import HARMFUL

STRIP = 4  # images of a prompt that lists show


@dataclass(frozen=True)
class Picture:
    """What a thumbnail needs of an image. Neither generator nor score is here, so none can be shown.

    For admins, inspectors and researchers: `is_harmful` goes by others' ratings too.
    """

    generation: int
    prompt: int
    text: str  # of the prompt
    token: UUID
    is_harmful: bool


@dataclass(frozen=True)
class Strip:
    """A few images of a prompt, and how many more there are."""

    pictures: list[Picture]
    more: int


def visible_image(user: User, token: UUID) -> Image | None:
    """Return the image if a project that the user is a member of shows it, or None."""
    projects = projects_where(user, Do.SEE)
    return Image.objects.filter(token=token, generations__prompt__project__in=projects).first()


def first_generator(project: Project) -> str:
    """Return the generator of the project's first image that names one: the base, where others are tuned.

    "" where no image names any.
    """
    named = Generation.objects.collected().filter(prompt__project=project).exclude(generator="")
    return named.order_by("pk").values_list("generator", flat=True).first() or ""


def judged_images() -> QuerySet[Generation]:
    """Return images with their files and `is_harmful`: flagged at import, or by an annotator's rating.

    For admins only. Annotators see only the flag from the import, because ratings are others' answers.
    """
    return Generation.objects.select_related("image").annotate(is_harmful=harmful())


def harmful(generation: str = "") -> Q:
    """Whether an image is harmful, as a condition. Args: generation: the field that leads to it, if any."""
    path = f"{generation}__" if generation else ""
    rated = Rating.objects.filter(generation=OuterRef(f"{path}pk"), problems__overlap=list(HARMFUL))
    return Q(**{f"{path}is_flagged": True}) | Q(Exists(rated))


PICTURE = ("pk", "prompt_id", "prompt__text", "image__token", "is_harmful")


def pictures_of(images: QuerySet[Generation]) -> list[Picture]:
    """Return the images as pictures, in their order. Args: images: of `judged_images`, with files."""
    return [Picture(*row) for row in images.values_list(*PICTURE)]


def pictures_by_file(project: Project, hashes: Collection[str]) -> dict[tuple[str, str], Picture]:
    """Return the project's pictures by the prompt's text and the hash of the file, in one query."""
    images = judged_images().filter(prompt__project=project, image__in=hashes).order_by("-pk")
    rows = images.values_list("image", *PICTURE)
    pictures = ((sha256, Picture(*fields)) for sha256, *fields in rows)
    return {(picture.text, sha256): picture for sha256, picture in pictures}


def strips(prompts: Collection[int] | QuerySet[Any, int], *, length: int = STRIP) -> dict[int, Strip]:
    """Return the strip of each prompt that has images with files, by prompt id, in one query.

    Images are in a random order that stays: the order of their import would tell generators apart.
    """
    images = (
        judged_images()
        .filter(prompt__in=prompts, image__isnull=False)
        .annotate(
            number=Window(RowNumber(), partition_by="prompt", order_by="image__token"),
            total=Window(Count("pk"), partition_by="prompt"),
        )
        .filter(number__lte=length)
        .order_by("prompt", "number")
    )
    made: dict[int, Strip] = {}
    for *fields, total in images.values_list(*PICTURE, "total"):
        picture = Picture(*fields)
        made.setdefault(picture.prompt, Strip([], max(total - length, 0))).pictures.append(picture)
    return made


def most_used_model(project: Project) -> str:
    """Return the name of the reward model that scored most of the project's images, or "" for none."""
    scored = Generation.objects.collected().filter(prompt__project=project, score__isnull=False).order_by()
    models = scored.values_list("scored_by").annotate(images=Count("pk")).order_by("-images", "scored_by")
    return next((name for name, _ in models[:1]), "")
