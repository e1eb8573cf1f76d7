"""Runs that make images for a project's prompts."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle

from django.db import transaction

from annotation.models import Project, Prompt, User
from annotation.saving import write_whole
from annotation.statistics.uncertainty import mean_pair_entropy
from refl.image_files import Description, ImageFile, Judge, make_files, split_seeds
from refl.models import Generator, SamplingRun
from refl.pipelines import load_generator
from refl.seeds import seeds_of
from refl.selectors.prompts import prompts_without_images
from refl.services.generators import mark_seen
from refl.services.samples import Sample, import_samples
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.scoring import scorer
from rewardmodel.services.choices import most_informative, see_asked
from rewardmodel.services.scores import score_for

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
        beside: ids of generators that make images of each prompt in turn with the run's own.
        rule: how a reward model chooses from the pool, a `Project.ChoiceRule`; runs of before it was a
            setting have the default.
    """

    pool: tuple[int, ...]
    prompts: int
    per_prompt: int
    batch_size: int = 16
    best_of: int = 1
    beside: tuple[int, ...] = ()
    rule: str = Project.ChoiceRule.ENTROPY

    def __post_init__(self) -> None:
        for name in ("pool", "beside"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON has lists only


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
    beside: Sequence[Generator] = (),
    rng: random.Random,
    by: User | None = None,
    because: str = "",
) -> SamplingRun:
    """Queue images for prompts of the project that have none, or for those that the reward model chooses.

    Args:
        per_prompt: images of each prompt.
        prompts: how many prompts get images, None for all that have none.
        checkpoint: decides which, by the project's rule: `prompts` times `pool_factor` prompts are drawn
            and tried, and it chooses among their images; at random, no more are drawn than are wanted.
            Without one they are the project's first.
        best_of, best_by: make so many candidates of each image, and keep the one that this reward model
            scores highest.
        beside: generators of the project that make images of each prompt in turn with this one, so that a
            prompt's images differ more.
        by: who asks, for the log; None for a command, or what came due.
        because: why, where nobody asks.
    Raises: CannotSample.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=generator.project_id)
    if SamplingRun.objects.active().filter(project=project, study=None).exists():
        raise CannotSample(f"images for {project.slug} are being made already")
    for each in (generator, *beside):
        if each.project_id != project.pk:
            raise CannotSample(f"{each} is of another project than {generator}")
        if not each.kept:
            raise CannotSample(f"{each} is not kept: annotators get images of kept generators only")
    least = 1 if checkpoint is None else 2
    if not least <= per_prompt <= project.max_images:
        raise CannotSample(f"a prompt gets {least} to {project.max_images} images here, not {per_prompt}")
    if pool_factor < 1:
        raise CannotSample(f"for each prompt that is chosen 1 or more are tried, not {pool_factor}")
    if not 1 <= best_of <= MAX_BEST_OF:
        raise CannotSample(f"an image is the best of 1 to {MAX_BEST_OF} candidates, not {best_of}")
    if (best_of > 1) != (best_by is not None):
        raise CannotSample("to keep the best of several candidates takes a reward model, and only that does")
    waiting = list(prompts_without_images(project).values_list("pk", flat=True))
    count = len(waiting) if prompts is None else min(prompts, len(waiting))
    if count < 1:
        raise CannotSample(f"no prompt of {project.slug} waits for images")
    is_random = project.choice_rule == Project.ChoiceRule.RANDOM
    pool_size = min(count * (1 if is_random else pool_factor), len(waiting))
    pool = waiting[:count] if checkpoint is None else sorted(rng.sample(waiting, pool_size))
    config = SamplingConfig(
        pool=tuple(pool),
        prompts=count,
        per_prompt=per_prompt,
        best_of=best_of,
        beside=tuple(each.pk for each in beside),
        rule=project.choice_rule,
    )
    run = SamplingRun.objects.create(
        project=project,
        generator=generator,
        checkpoint=checkpoint,
        best_by=best_by,
        config=asdict(config),
        steps=len(pool) * per_prompt,
    )
    return states.record_request(run, by=by, because=because)


def make_samples(run: SamplingRun, heartbeat: Heartbeat) -> None:
    """Make the images of a run, choose among the prompts, import, and score with the promoted reward model.

    Called again after an interruption, it continues where it stopped; no prompt gets its images twice.

    Raises: Interrupted; NotAPipeline; NotSaved; CheckpointError; ImageRefused.
    """
    config = SamplingConfig(**run.config)
    pool = list(Prompt.objects.filter(pk__in=config.pool))
    files = _rows(run, pool, config)
    ready = _make_images(run, files, config, heartbeat)
    # Where there is nothing to choose, annotators begin on the first images while the others are made.
    is_choice = run.checkpoint is not None and len(pool) > config.prompts
    chosen = _chosen_prompts(run, list(ready), files, config, heartbeat) if is_choice else ready
    for prompt in chosen:
        # It may have images by now: of this run before it was interrupted, or imported by somebody.
        if not prompt.generations.exists():
            import_samples(prompt=prompt, samples=[_sample(row) for row in files[prompt.pk]])
    promoted = RewardCheckpoint.objects.filter(project=run.project, promoted=True).first()
    score_for(run, heartbeat, checkpoint=promoted)
    shutil.rmtree(run.folder / "images")


@dataclass(frozen=True)
class Row:
    """An image to be made, and the prompt and the generator that it is made of."""

    prompt: Prompt
    generator: Generator
    image: ImageFile


def _rows(run: SamplingRun, pool: Sequence[Prompt], config: SamplingConfig) -> dict[int, list[Row]]:
    """Return the images of each prompt by its id. Where each has one candidate, their seeds are its first."""
    beside = Generator.objects.in_bulk(config.beside)
    generators = [run.generator, *(beside[pk] for pk in config.beside)]
    folder = run.folder / "images"
    rows = {}
    for prompt in pool:
        groups = split_seeds(seeds_of(prompt.key, config.per_prompt * config.best_of), config.best_of)
        rows[prompt.pk] = [
            Row(prompt, generator, ImageFile(prompt.text, seeds, folder / f"{prompt.pk}-{seeds[0]}.png"))
            for seeds, generator in zip(groups, cycle(generators), strict=False)
        ]
    return rows


def _sample(row: Row) -> Sample:
    description = Description.read(row.image.file)
    if description is None:
        return Sample(row.generator, row.image.seeds[0], row.image.file)
    return Sample(row.generator, description.seed, row.image.file, description.parameters())


def _make_images(
    run: SamplingRun, rows: Mapping[int, Sequence[Row]], config: SamplingConfig, heartbeat: Heartbeat
) -> Iterator[Prompt]:
    """Make the missing files; yield each prompt as soon as all of its files exist.

    Batches are those of a run that was never interrupted: an image is rounded by what shares its batch, so a
    batch that was cut short is made again as a whole.
    """
    (run.folder / "images").mkdir(parents=True, exist_ok=True)
    all_rows = [row for its_rows in rows.values() for row in its_rows]
    by_generator = {
        generator: incomplete_batches([row for row in all_rows if row.generator == generator], config)
        for generator in {row.generator for row in all_rows}
    }
    files = {row.image.file for its_rows in by_generator.values() for row in its_rows}
    missing = [row for row in all_rows if row.image.file in files]
    incomplete = {row.prompt for row in missing}
    yield from (its_rows[0].prompt for its_rows in rows.values() if its_rows[0].prompt not in incomplete)
    made = {
        generator: make_rows(run, generator, its_rows, config)
        for generator, its_rows in by_generator.items()
        if its_rows
    }
    done = len(all_rows) - len(missing)
    for number, row in enumerate(missing, start=1):
        next(made[row.generator])
        heartbeat.report(step=done + number, steps=len(all_rows), values={})
        if heartbeat.should_stop():
            raise Interrupted
        if number == len(missing) or missing[number].prompt != row.prompt:
            yield row.prompt


def incomplete_batches(rows: Sequence[Row], config: SamplingConfig) -> list[Row]:
    """Return the rows of the batches that lack a file."""
    from refl.learning.sampling import prompts_at_once

    size = prompts_at_once(config.best_of, config.batch_size)
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    return [row for batch in batches if not all(each.image.file.exists() for each in batch) for row in batch]


def make_rows(
    run: SamplingRun, generator: Generator, rows: Sequence[Row], config: SamplingConfig
) -> Iterator[object]:
    """Make one file after the other; a batch is drawn when its first file is asked for.

    Raises: NotAPipeline; NotSaved.
    """
    family = load_generator(generator)
    mark_seen(generator)
    return make_files(
        family,
        [row.image for row in rows],
        Judge(run.best_by.name, scorer(run.best_by).score_pairs) if run.best_by else None,
        steps=generator.steps,
        guidance_scale=generator.guidance_scale,
        batch_size=config.batch_size,
    )


def _chosen_prompts(
    run: SamplingRun,
    pool: Sequence[Prompt],
    files: Mapping[int, Sequence[Row]],
    config: SamplingConfig,
    heartbeat: Heartbeat,
) -> list[Prompt]:
    """Choose once: a choice made again would know of the images imported, and of other answers.

    Raises: Interrupted.
    """
    chosen = run.folder / "chosen.json"
    if not chosen.exists():
        prompts = _choose_prompts(run, pool, files, config, heartbeat)
        with write_whole(chosen) as unfinished:
            unfinished.write_text(json.dumps(prompts))
    by_id = {prompt.pk: prompt for prompt in pool}
    return [by_id[pk] for pk in json.loads(chosen.read_text()) if pk in by_id]


def _choose_prompts(
    run: SamplingRun,
    pool: Sequence[Prompt],
    files: Mapping[int, Sequence[Row]],
    config: SamplingConfig,
    heartbeat: Heartbeat,
) -> list[int]:
    """Return as many prompts as are wanted, by id, as the run's reward model chooses. Raises: Interrupted."""
    checkpoint = run.checkpoint
    assert checkpoint is not None
    model = scorer(checkpoint)
    images = [[row.image.file for row in files[prompt.pk]] for prompt in pool]
    inputs = model.embed_groups([prompt.text for prompt in pool], images)
    seen = {prompt.pk: each for prompt, each in zip(pool, inputs, strict=True)}
    if config.rule == Project.ChoiceRule.D_OPTIMAL:
        asked = see_asked(model, checkpoint, candidates=seen.keys(), should_stop=heartbeat.should_stop)
        if heartbeat.should_stop():
            raise Interrupted
        chosen = most_informative(seen, config.prompts, asked=asked, should_stop=heartbeat.should_stop)
        if heartbeat.should_stop():
            raise Interrupted
        return chosen
    return least_sure({pk: each.rewards.tolist() for pk, each in seen.items()}, config.prompts)


def least_sure(rewards: Mapping[int, Sequence[float]], count: int) -> list[int]:
    """Return the prompts whose images the model orders least surely, the least sure first, ties by id.

    Args: rewards: prompt id -> the rewards of its images.
    """
    return sorted(rewards, key=lambda prompt: (-mean_pair_entropy(rewards[prompt]), prompt))[:count]
