"""Runs that make images for a project's prompts."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from annotation.models import Project, Prompt, User
from annotation.selectors.projects.uncertainty import mean_pair_entropy
from refl.image_files import Description, ImageFile, Judge, make_files, split_seeds
from refl.models import Generator, SamplingRun, TuningPolicy
from refl.seeds import seeds_of
from refl.selectors.generators import unsampled_generator
from refl.selectors.prompts import prompts_without_images
from refl.services.generators import mark_seen
from refl.services.samples import import_samples
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.runs.policies import lock_policy
from rewardmodel.scoring import scorer
from rewardmodel.services.scores import score_generations

MAX_BEST_OF = 64  # candidates of an image; more gain little, and each costs as much as an image


class CannotSample(ValueError):
    """There is no image to make, or no way to make it; the message says why."""


@dataclass(frozen=True)
class SamplingConfig:
    """The configuration of a sampling. All defaults are ours.

    Attributes:
        pool: ids of the prompts that images are made for.
        prompts: how many of the pool are used; the images of the others are discarded.
        per_prompt: images of a prompt, which differ by seed.
        batch_size: images made at once.
        best_of: candidates of an image, of which a reward model keeps the best.
    """

    pool: tuple[int, ...]
    prompts: int
    per_prompt: int
    batch_size: int = 16
    best_of: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", tuple(self.pool))  # JSON has lists only


@transaction.atomic
def queue_sampling(
    *,
    generator: Generator,
    per_prompt: int,
    prompts: int | None = None,
    checkpoint: RewardCheckpoint | None = None,
    pool_factor: int = 1,
    best_of: int = 1,
    best_by: RewardCheckpoint | None = None,
    rng: random.Random,
    by: User | None = None,
) -> SamplingRun:
    """Queue images for prompts of the project that have none, or for those the reward model is least sure of.

    Args:
        per_prompt: images of each prompt.
        prompts: how many prompts get images, None for all that have none.
        checkpoint: decides which: `prompts` times `pool_factor` prompts are drawn and tried, and those stay
            whose images it orders least surely. Without one they are the project's first.
        best_of, best_by: make so many candidates of each image, and keep the one that this reward model
            scores highest.
        by: who asks, for the log; None for a command, or what came due.
    Raises: CannotSample.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=generator.project_id)
    if SamplingRun.objects.active().filter(project=project).exists():
        raise CannotSample(f"images for {project.slug} are being made already")
    if not generator.kept:
        raise CannotSample(f"{generator} is not kept: annotators get images of kept generators only")
    least = 1 if checkpoint is None else 2
    if not least <= per_prompt <= project.max_images:
        raise CannotSample(f"a prompt gets {least} to {project.max_images} images here, not {per_prompt}")
    if not 1 <= best_of <= MAX_BEST_OF:
        raise CannotSample(f"an image is the best of 1 to {MAX_BEST_OF} candidates, not {best_of}")
    if (best_of > 1) != (best_by is not None):
        raise CannotSample("to keep the best of several candidates takes a reward model, and only that does")
    waiting = list(prompts_without_images(project).values_list("pk", flat=True))
    count = len(waiting) if prompts is None else min(prompts, len(waiting))
    if count < 1:
        raise CannotSample(f"no prompt of {project.slug} waits for images")
    pool_size = min(count * pool_factor, len(waiting))
    pool = waiting[:count] if checkpoint is None else sorted(rng.sample(waiting, pool_size))
    config = SamplingConfig(pool=tuple(pool), prompts=count, per_prompt=per_prompt, best_of=best_of)
    run = SamplingRun.objects.create(
        project=project,
        generator=generator,
        checkpoint=checkpoint,
        best_by=best_by,
        config=asdict(config),
        steps=len(pool) * per_prompt,
    )
    return states.record_request(run, by=by)


@transaction.atomic
def queue_due_sampling(policy: TuningPolicy, *, rng: random.Random) -> SamplingRun | None:
    """Queue images of a newly kept generator, for prompts on which the promoted reward model is least sure.

    Returns: the run, or None where no generator is waiting.

    Raises: CannotSample.
    """
    locked = lock_policy(policy)
    if locked is None or SamplingRun.objects.active().filter(project=locked.project).exists():
        return None
    generator = unsampled_generator(locked.project)
    if generator is None:
        return None
    return queue_sampling(
        generator=generator,
        per_prompt=locked.images_per_prompt,
        prompts=locked.prompts_per_round,
        checkpoint=RewardCheckpoint.objects.filter(project=locked.project, promoted=True).first(),
        pool_factor=locked.pool_factor,
        rng=rng,
    )


def make_samples(run: SamplingRun, heartbeat: Heartbeat) -> None:
    """Make the images of a run, choose among the prompts, import, and score with the promoted reward model.

    Called again after an interruption, it continues where it stopped; no prompt gets its images twice.

    Raises: Interrupted; NotAPipeline; NotSaved; CheckpointError; ImageRefused.
    """
    config = SamplingConfig(**run.config)
    pool = list(Prompt.objects.filter(pk__in=config.pool))
    files = {prompt.pk: _image_files(run, prompt, config) for prompt in pool}
    ready = _make_images(run, pool, files, config, heartbeat)
    # Where there is nothing to choose, annotators begin on the first images while the others are made.
    chosen = ready if run.checkpoint is None else _choose_prompts(run.checkpoint, list(ready), files, config)
    for prompt in chosen:
        # It may have images by now: of this run before it was interrupted, or imported by somebody.
        if not prompt.generations.exists():
            _import_images(run, prompt, files[prompt.pk])
    promoted = RewardCheckpoint.objects.filter(project=run.project, promoted=True).first()
    if promoted is not None:
        score_generations(checkpoint=promoted, should_stop=heartbeat.should_stop)
    if heartbeat.should_stop():
        raise Interrupted
    shutil.rmtree(run.folder / "images")


def _image_files(run: SamplingRun, prompt: Prompt, config: SamplingConfig) -> list[ImageFile]:
    """Return a prompt's images. Where each has one candidate, their seeds are the prompt's first."""
    groups = split_seeds(seeds_of(prompt.key, config.per_prompt * config.best_of), config.best_of)
    folder = run.folder / "images"
    return [ImageFile(prompt.text, seeds, folder / f"{prompt.pk}-{seeds[0]}.png") for seeds in groups]


def _import_images(run: SamplingRun, prompt: Prompt, rows: Sequence[ImageFile]) -> None:
    images: dict[int, Path] = {}
    parameters: dict[int, dict[str, Any]] = {}
    for row in rows:
        description = Description.read(row.file)
        seed = row.seeds[0] if description is None else description.seed
        images[seed] = row.file
        parameters[seed] = {} if description is None else description.parameters()
    import_samples(prompt=prompt, generator=run.generator, images=images, parameters=parameters)


def _make_images(
    run: SamplingRun,
    pool: Sequence[Prompt],
    files: Mapping[int, Sequence[ImageFile]],
    config: SamplingConfig,
    heartbeat: Heartbeat,
) -> Iterator[Prompt]:
    """Make the missing files; yield each prompt as soon as all of its files exist.

    Batches are those of a run that was never interrupted: an image is rounded by what shares its batch, so a
    batch that was cut short is made again as a whole.
    """
    from refl.learning.families.loading import load_family
    from refl.learning.sampling import prompts_at_once

    (run.folder / "images").mkdir(parents=True, exist_ok=True)
    rows = [(prompt, row) for prompt in pool for row in files[prompt.pk]]
    size = prompts_at_once(config.best_of, config.batch_size)
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    missing = [row for batch in batches if not all(row.file.exists() for _, row in batch) for row in batch]
    incomplete = {prompt.pk for prompt, _ in missing}
    yield from (prompt for prompt in pool if prompt.pk not in incomplete)
    if not missing:
        return
    family = load_family(run.generator.location, loras=run.generator.loras)
    mark_seen(run.generator)
    made = make_files(
        family,
        [row for _, row in missing],
        Judge(run.best_by.name, scorer(run.best_by).score_pairs) if run.best_by else None,
        steps=run.generator.steps,
        guidance_scale=run.generator.guidance_scale,
        batch_size=config.batch_size,
    )
    done = len(rows) - len(missing)
    for number, ((prompt, _), _) in enumerate(zip(missing, made, strict=True), start=1):
        heartbeat.report(step=done + number, steps=len(rows), values={})
        if heartbeat.should_stop():
            raise Interrupted
        if number == len(missing) or missing[number][0] is not prompt:
            yield prompt


def _choose_prompts(
    checkpoint: RewardCheckpoint,
    pool: Sequence[Prompt],
    files: Mapping[int, Sequence[ImageFile]],
    config: SamplingConfig,
) -> list[Prompt]:
    """Return as many prompts as are wanted, those whose images the reward model orders least surely."""
    model = scorer(checkpoint)
    scale = model.config.std  # a model's odds are in its raw margins; scores are divided by this
    images = [[row.file for row in files[prompt.pk]] for prompt in pool]
    scores = model.score_groups([prompt.text for prompt in pool], images)
    rewards = {
        prompt.pk: [scale * score for score in group] for prompt, group in zip(pool, scores, strict=True)
    }
    prompts = {prompt.pk: prompt for prompt in pool}
    return [prompts[pk] for pk in least_sure(rewards, config.prompts)]


def least_sure(rewards: Mapping[int, Sequence[float]], count: int) -> list[int]:
    """Return the prompts whose images the model orders least surely, the least sure first, ties by id.

    Args: rewards: prompt id -> the rewards of its images.
    """
    return sorted(rewards, key=lambda prompt: (-mean_pair_entropy(rewards[prompt]), prompt))[:count]
