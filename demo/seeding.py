"""The demo project: the small world's people, prompts and models."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.timezone import now

from annotation.models import Membership, Project
from annotation.services.projects.projects import add_member, create_project
from annotation.services.projects.prompts import add_prompts
from demo.people import STAFF, ensure_person, simulated_name
from demo.settings import (
    GUIDANCE_SCALE,
    HASTY_STEPS,
    REWARD_CONFIG,
    STEPS,
    TUNING_CONFIG,
)
from demo.world.captions import Split, draw_captions
from refl.loop.queue import start_step
from refl.models import Generator, SamplingRun, TuningPolicy
from refl.services.generators import register_generator
from rewardmodel.models import RewardCheckpoint, TrainingPolicy
from rewardmodel.services.checkpoints import promote, register_checkpoint

SLUG = "small-world"
CREDENTIALS = Path(settings.VAR) / "credentials.json"
PAIRS = Path(settings.VAR) / "demo" / "pretraining"
WEIGHTS = Path("demo") / "weights"  # relative to the repository
SHIPPED, HASTY = "shipped generator", "shipped generator, hasty"
PROMPTS, PAIR_COUNT, SIMULATED = 2000, 2000, 8
FIRST_PROMPTS = 300  # that get images at once; the reward model chooses among the others
IMAGES_PER_PROMPT = 4
RETRAIN_AFTER = 200
REVIEW_SHARE = 0.05
SEED = 0


def seed_demo() -> Project:
    """Set up the demo project, or add what is missing of it. A worker draws its first images."""
    project = ensure_project(SLUG, name="Small world")
    if not SamplingRun.objects.filter(project=project).exists():
        start_step(
            project,
            "sample",
            because="the demo's first images",
            **first_images(project, prompts=FIRST_PROMPTS),
        )
    return project


def ensure_project(slug: str, *, name: str, enabled: bool = True) -> Project:
    """Return the project, set up with all that a round of the loop needs.

    Args: enabled: whether the schedule trains and tunes on its own.
    """
    admin = ensure_person(name="admin", credentials=CREDENTIALS, superuser=True)
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        guideline = (Path(__file__).parent / "guideline.md").read_text()
        project = create_project(
            slug=slug, name=name, admin=admin, guideline=guideline, review_share=REVIEW_SHARE
        )
    _ensure_members(project)
    _ensure_prompts(project)
    _ensure_models(project, enabled=enabled)
    return project


@contextmanager
def paused(project: Project) -> Iterator[None]:
    """Keep the schedule from starting anything in the project while the block runs.

    The schedule locks a policy's row until what it queued is committed, and skips disabled policies: when the
    block begins, nothing more can be queued.
    """
    disabled = [
        policy
        for policy in (TrainingPolicy, TuningPolicy)
        if policy.objects.filter(project=project, enabled=True).update(enabled=False)
    ]
    try:
        yield
    finally:
        for policy in disabled:
            policy.objects.filter(project=project).update(enabled=True)


def first_images(project: Project, *, prompts: int) -> dict[str, Any]:
    """Return how the project's first prompts get images, half of each prompt's drawn hastily.

    Returns: options of the step that makes images.
    """
    generators = Generator.objects.kept().filter(project=project)
    return {
        "generator": generators.exclude(name=HASTY).earliest("pk"),
        "beside": list(generators.filter(name=HASTY)),
        "per_prompt": IMAGES_PER_PROMPT,
        "prompts": prompts,
        "checkpoint": None,
        "pool_factor": 1,
        "rng": random.Random(SEED),
    }


def _ensure_members(project: Project) -> None:
    people = STAFF | {simulated_name(number): Membership.Role.ANNOTATOR for number in range(1, SIMULATED + 1)}
    members = set(project.memberships.values_list("user__username", flat=True))
    for name, role in people.items():
        if name not in members:
            add_member(project=project, user=ensure_person(name=name, credentials=CREDENTIALS), role=role)


def _ensure_prompts(project: Project) -> None:
    captions = draw_captions(Split.RANKING, PROMPTS, random.Random(SEED))
    add_prompts(
        project=project, texts={f"caption-{number:04}": text for number, text in enumerate(captions, 1)}
    )


def _ensure_models(project: Project, *, enabled: bool) -> None:
    if not RewardCheckpoint.objects.filter(project=project).exists():
        encoder = register_checkpoint(
            project=project, name="shipped encoder", folder=str(WEIGHTS / "encoder")
        )
        promote(encoder, now=now())
    if not Generator.objects.filter(project=project).exists():
        # The hasty one first: the newest is the one that is tuned, and draws all later images.
        for name, steps in ((HASTY, HASTY_STEPS), (SHIPPED, STEPS)):
            register_generator(
                project=project,
                name=name,
                pipeline=WEIGHTS / "generator",
                steps=steps,
                guidance_scale=GUIDANCE_SCALE,
                pretraining=_ensure_pairs(),
            )
    TrainingPolicy.objects.get_or_create(
        project=project,
        defaults={
            "enabled": enabled,
            "retrain_after": RETRAIN_AFTER,
            "config": REWARD_CONFIG.to_dict(),
        },
    )
    TuningPolicy.objects.get_or_create(
        project=project,
        defaults={
            "enabled": enabled,
            "config": TUNING_CONFIG.to_dict(),
            "images_per_prompt": IMAGES_PER_PROMPT,
            "prompts_per_round": RETRAIN_AFTER,
        },
    )


def _ensure_pairs() -> Path:
    """Return the folder of captioned scenes for ReFL's pre-training loss, drawn if it is missing."""
    from demo.pretraining.generator import pretraining_pairs

    if not (PAIRS / "pairs.jsonl").exists():
        pretraining_pairs(PAIRS, PAIR_COUNT, random.Random(SEED))
    return PAIRS
