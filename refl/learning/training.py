"""A tuning from the first update to the saved pipeline, over interruptions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from time import perf_counter

import numpy as np
import torch

from refl.learning.config import METHODS, TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.methods import Batch, Method
from refl.learning.pairs import Pair, read_pairs
from refl.learning.rewards import Reward, check_differentiable, measured_parts
from refl.learning.sampling import grid, sample
from refl.learning.tuner import Tuner
from rewardmodel.learning.errors import Interrupted, PermanentError
from rewardmodel.learning.saving import write_whole


class NoPrompts(PermanentError):
    """There is no prompt to tune on."""


class AnotherRun(PermanentError):
    """The folder holds a run of another configuration."""


@dataclass(frozen=True)
class Progress:
    """What one update came to.

    Attributes:
        step, steps: updates done, and wanted.
        measures: what the method measured, by name; None for what it left out. Parts of a mixture of rewards
            are called `reward/<name>`.
        seconds: of this update.
    """

    step: int
    steps: int
    measures: Mapping[str, float | None]
    seconds: float


def tune(
    config: TuningConfig,
    *,
    pipeline: Path,
    reward: Reward,
    prompts: Sequence[str],
    pretraining: Path,
    folder: Path,
    on_step: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    device: str | None = None,
) -> Path:
    """Tune a pipeline's denoiser so that its images are preferred.

    1. Refuse what cannot run, and claim the folder for this configuration.
    2. Load the pipeline; go on from the last checkpoint, or show what the pipeline makes untuned.
    3. Update: the method steps on a batch, the average follows.
    4. On the way: sample grids, checkpoints, and whether to stop.
    5. Save the tuned pipeline.

    Called again on the same folder it goes on from the last checkpoint, and ends with the same weights as a
    run never interrupted (on the same hardware).

    Args:
        pipeline: the folder (or hub id) of the pipeline to start from; it is not changed.
        reward: see `Reward`; the parts of a `Mixture` are measured by name.
        prompts: to tune on; the first few are those of the sample grids.
        pretraining: a folder of captioned images, as `read_pairs` wants it.
        folder: of this run alone: its checkpoint, samples/step-*.png, and at the end pipeline/.
        on_step: called after every update.
        should_stop: asked after every update.
        device: the best there is when None.
    Returns: the folder of the tuned pipeline, complete as diffusers saves one.
    Raises: NoPrompts; AnotherRun; BadPairs; NotAPipeline; BadReward; Diverged; NotSaved; Interrupted.
    """
    # 1. What cannot run writes nothing; what has run is not run again
    if not prompts:
        raise NoPrompts("no prompts to tune on")
    check_differentiable(reward, config)
    pairs = read_pairs(pretraining)
    _claim_folder(folder, config)
    result, checkpoint = folder / "pipeline", folder / "checkpoint.pt"
    if result.is_dir():
        return result

    # 2. The pipeline, its optimiser and the method
    tuner = Tuner(config, load_family(pipeline, device))
    method: Method = resolve_name(METHODS[config.method])(tuner, reward)
    step = _load_checkpoint(tuner, checkpoint)
    if step == 0:
        _save_samples(tuner, prompts, folder, step)

    while step < config.updates:
        # 3. One update; all that is random in it follows from seed and step
        started = perf_counter()
        batch = _batch_at(step, prompts=prompts, pairs=pairs, config=config)
        with measured_parts(reward) as parts:
            measures = method.update(batch, _rng_at(step, config.seed))
        tuner.update_average()
        step += 1
        on_step(Progress(step, config.updates, {**measures, **parts}, perf_counter() - started))

        # 4. Samples to look at, a checkpoint to go on from
        is_last = step == config.updates
        if is_last or (config.sample_every and step % config.sample_every == 0):
            _save_samples(tuner, prompts, folder, step)
        is_stopped = not is_last and should_stop()
        if is_stopped or is_last or step % config.checkpoint_every == 0:
            _save_checkpoint(tuner, checkpoint, step)
        if is_stopped:
            raise Interrupted(f"after {step} of {config.updates} updates")

    # 5. The result; its checkpoint has done its work
    with write_whole(result) as partial:
        tuner.save(partial)
    checkpoint.unlink()
    return result


def _batch_at(step: int, *, prompts: Sequence[str], pairs: Sequence[Pair], config: TuningConfig) -> Batch:
    size, seed = config.batch_size, config.seed
    return Batch(
        prompts=[prompts[i] for i in indices_at(step, len(prompts), size, seed)],
        pairs=[pairs[i] for i in indices_at(step, len(pairs), size, seed)],
    )


def indices_at(step: int, count: int, size: int, seed: int) -> list[int]:
    """Which of `count` examples the step-th batch holds: passes without repeats, each in a new order."""
    places = [divmod(place, count) for place in range(step * size, (step + 1) * size)]
    orders = {epoch: np.random.default_rng((seed, epoch)).permutation(count) for epoch, _ in places}
    return [int(orders[epoch][place]) for epoch, place in places]


def _rng_at(step: int, seed: int) -> torch.Generator:
    """Return the generator of one update; it follows from the step, so a checkpoint need not hold it."""
    state = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state))


def _claim_folder(folder: Path, config: TuningConfig) -> None:
    """Store the configuration, or check that the one stored is equal. Raises: AnotherRun; NotSaved."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "config.json"
    if not stored.exists():
        with write_whole(stored) as partial:
            partial.write_text(json.dumps(config.to_dict(), indent=2))
    elif TuningConfig(**json.loads(stored.read_text())) != config:
        raise AnotherRun(f"{stored} is of a run with other settings: give this one another folder")


def _load_checkpoint(tuner: Tuner, checkpoint: Path) -> int:
    """Return how many updates are done already; 0 without a checkpoint."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tuner.load_state_dict(state["tuner"])
    return int(state["step"])


def _save_checkpoint(tuner: Tuner, checkpoint: Path, step: int) -> None:
    with write_whole(checkpoint) as partial:
        torch.save({"step": step, "tuner": tuner.state_dict()}, partial)


def _save_samples(tuner: Tuner, prompts: Sequence[str], folder: Path, step: int) -> None:
    """Save a grid of the first prompts' images, from the averaged weights if there are any."""
    config, shown = tuner.config, list(prompts[: tuner.config.sample_prompts])
    with tuner.averaged():
        images = sample(
            tuner.family,
            shown,
            range(len(shown)),
            steps=config.sample_steps,
            guidance_scale=config.sample_guidance,
            batch_size=config.batch_size,
        )
        sheet = grid(list(images), columns=4)
    (folder / "samples").mkdir(exist_ok=True)
    with write_whole(folder / "samples" / f"step-{step:06}.png") as partial:
        sheet.save(partial, "PNG")
