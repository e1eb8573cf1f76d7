"""The cast: alice and bob annotate, rita inspects, rosa researches, ada is the admin, eve is an outsider.

`from tests.cast import *` in an app's conftest makes them fixtures there.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count

import PIL.Image
import pytest

from annotation.models import Assignment, Membership, Project, Prompt, Reference, User
from annotation.services.assignments.assignments import open_assignments
from annotation.services.checks.references import choose_reference, claim_reference
from annotation.services.judgements.answers import ImageRating, Judgement, Label
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import add_member, create_project
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts

__all__ = [
    "a_gold",
    "a_project",
    "a_prompt",
    "ada",
    "alice",
    "bob",
    "eve",
    "media",
    "project",
    "rita",
    "rosa",
]

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def picture(shade: int, kind: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """A one-coloured image file; equal shades give equal bytes."""
    file = io.BytesIO()
    PIL.Image.new("RGB", size, (shade % 256, shade // 256 % 256, 128)).save(file, kind)
    return file.getvalue()


def huge_png(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG of few bytes whose header promises over a gigabyte; the pixels end after ten lines."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeeze = zlib.compressobj(9)
    line = b"\0" + bytes(3 * width)
    pixels = b"".join(squeeze.compress(line) for _ in range(10)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def luck() -> random.Random:
    return random.Random(7)


def answer_for(
    assignment: Assignment,
    slots: Sequence[int] | None = None,
    overall: Sequence[int] | None = None,
    problems: tuple[str, ...] = (),
) -> Judgement:
    """A whole answer. `slots` and `overall`, the points on the first axis, go by generation id; without
    them the images stand in pairs.

    Where it is asked, images in the last three slots in use are not acceptable.
    """
    images = sorted(assignment.order)
    places = slots or [1 + i // 2 for i in range(len(images))]
    stars = overall or [8 - place if place < 8 else 1 for place in places]
    axes = [axis.name for axis in assignment.project.rating_axes]
    return Judgement(
        label=Label("animals", False, ()) if assignment.project.asks_label else None,
        ratings={
            pk: ImageRating({axis: 4 for axis in axes} | {axes[0]: score}, problems)
            for pk, score in zip(images, stars, strict=True)
        }
        if assignment.project.asks_ratings
        else {},
        slots=dict(zip(images, places, strict=True)),
        acceptable_slots=max(0, max(places) - 3) if assignment.project.asks_acceptable else None,
    )


@pytest.fixture(autouse=True)
def media(settings, tmp_path_factory):
    """Image files of a test lie in a folder of its own."""
    settings.MEDIA_ROOT = tmp_path_factory.mktemp("images")
    return settings.MEDIA_ROOT


@pytest.fixture
def ada(db) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def eve(db) -> User:
    return User.objects.create_user("eve")


@pytest.fixture
def a_project(ada: User) -> Callable[..., Project]:
    numbers = count()

    def make(**settings: object) -> Project:
        slug = f"project-{next(numbers)}"
        return create_project(slug=slug, name=slug.title(), admin=ada, guideline="# Be fair", **settings)

    return make


@pytest.fixture
def project(a_project: Callable[..., Project]) -> Project:
    return a_project()


def _member(project: Project, name: str, role: str) -> User:
    user = User.objects.create_user(name)
    add_member(project=project, user=user, role=role)
    return user


@pytest.fixture
def alice(project: Project) -> User:
    return _member(project, "alice", Membership.Role.ANNOTATOR)


@pytest.fixture
def bob(project: Project) -> User:
    return _member(project, "bob", Membership.Role.ANNOTATOR)


@pytest.fixture
def rita(project: Project) -> User:
    return _member(project, "rita", Membership.Role.INSPECTOR)


@pytest.fixture
def rosa(project: Project) -> User:
    return _member(project, "rosa", Membership.Role.RESEARCHER)


@pytest.fixture
def a_prompt(project: Project) -> Callable[..., Prompt]:
    """A prompt with images and its open assignments, in `project` unless told another."""
    numbers = count(1)

    def make(images: int = 3, *, project: Project = project, opened: bool = True) -> Prompt:
        number = next(numbers)
        key = f"p{number}"
        prompts, _ = add_prompts(project=project, texts={key: f"a fox, take {number}"})
        add_generations(
            prompt=prompts[key],
            images=[NewImage(picture(100 * number + i), f"{key}-{i}.png", "sd") for i in range(images)],
        )
        if opened:
            open_assignments(prompts=[prompts[key]])
        return prompts[key]

    return make


@pytest.fixture
def a_gold(ada: User, a_prompt: Callable[..., Prompt]) -> Callable[..., Reference]:
    """A prompt that ada, the admin, answered as a reference; `slots` go by generation id."""

    def make(
        project: Project,
        *,
        purpose: str = "gold",
        note: str = "",
        images: int = 3,
        slots: Sequence[int] | None = None,
        retired_at: datetime | None = None,
    ) -> Reference:
        prompt = a_prompt(images, project=project, opened=False)
        task = claim_reference(researcher=ada, project=project, now=NOW, generator=luck(), prompt=prompt)
        judgement = answer_for(task, slots=slots)
        submit_judgement(assignment=task, annotator=ada, judgement=judgement, now=NOW, generator=luck())
        task.refresh_from_db()
        reference = choose_reference(answer=task, purpose=purpose, note=note, by=ada, now=NOW)
        Reference.objects.filter(pk=reference.pk).update(retired_at=retired_at)
        return reference

    return make
