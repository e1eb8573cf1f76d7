"""The newest kept generator makes images for prompts that have none."""

from __future__ import annotations

import random
from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, counted, failed_status, off_or, run_status
from refl.models import SamplingRun, TuningPolicy
from refl.selectors.generators import newest_kept
from refl.selectors.policies import policy_of
from refl.services.sampling import queue_sampling
from rewardmodel.models import RewardCheckpoint


def read(facts: Facts) -> Status:
    run = facts.newest(SamplingRun)
    generator, waiting = facts.generator, facts.prompts_without_images
    changed = outcome(run) if run is not None else ""
    if run is not None and not run.is_over:
        return run_status(run, doing=f"{run.generator} makes images", changed=changed)
    if generator is None:
        missing = f"a generator: manage.py register_generator {facts.project.slug} NAME FOLDER"
        return Status(State.WAITING, missing=(missing,), run=run, changed=changed)
    is_new = generator.run is not None and not facts.is_sampled
    if waiting and is_new:
        state, because = off_or(State.READY, by_itself=facts.tunes_by_itself), f"{generator} was kept"
        note = f"{generator} has made no images yet; {_wait(waiting)}"
        return Status(state, note, because=because, run=run, changed=changed)
    if run is not None and run.state == SamplingRun.State.FAILED:
        return failed_status(run, changed=changed)
    if not waiting and (is_new or not facts.has_images):
        missing = "prompts without images" if facts.has_prompts else "prompts: add some under Data"
        return Status(State.WAITING, missing=(missing,), run=run, changed=changed)
    if not facts.has_images:
        return Status(State.OFF, _wait(waiting), run=run, changed=changed)
    note = (
        f"{_wait(waiting)}; a generator that is tuned makes the next"
        if waiting
        else "every prompt has its images"
    )
    return Status(State.DONE, note, run=run, changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Queue images.

    Args: options: of `queue_sampling`; without them as the project's policy says, and the promoted reward
        model chooses the prompts.
    Raises: NoGenerator, CannotSample.
    """
    policy = policy_of(project)
    policys = {
        "per_prompt": policy.images_per_prompt,
        "prompts": policy.prompts_per_round,
        "pool_factor": policy.pool_factor,
        "checkpoint": RewardCheckpoint.objects.promoted().filter(project=project).first(),
        "rng": random.Random(project.pk),
    }
    generator = options.pop("generator", None) or newest_kept(project)
    run = queue_sampling(generator=generator, **{**policys, **options}, by=by, because=because)
    return Started(f"{generator} makes {counted(run.steps, 'image')}.", run=run)


def _wait(prompts: int) -> str:
    return f"{counted(prompts, 'prompt')} without images"


def outcome(run: SamplingRun) -> str:
    """Return how many images it made, and whose."""
    if run.state != SamplingRun.State.FINISHED:
        return ""
    prompts = run.config.get("prompts", 0)
    images = prompts * run.config.get("per_prompt", 0)
    return f"{counted(images, 'image')} of {counted(prompts, 'prompt')} by {run.generator}"


STEP = Step(
    key="sample",
    title="Make images",
    about="The newest kept generator draws prompts that have no images.",
    read=read,
    start=start,
    outcome=outcome,
    model=SamplingRun,
    policy=TuningPolicy,
)
