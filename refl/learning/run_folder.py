"""What a run's folder holds of its state: whose it is, and what an interrupted run goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from refl.learning.config import TuningConfig
from refl.learning.methods import Materials
from refl.learning.pairs import Pair, Preference
from refl.learning.tuner import Tuner
from rewardmodel.learning.errors import PermanentError
from rewardmodel.learning.saving import write_whole

CHECKPOINT = "checkpoint.pt"  # of the stage at work
START = "start.pt"  # of a stage after the first: the weights and materials that it starts from


class AnotherRun(PermanentError):
    """The folder holds a run of another configuration, or one that learns from something else."""


def claim_folder(folder: Path, config: TuningConfig, inputs: Mapping[str, str]) -> None:
    """Store the configuration and what it learns from, or check that those stored are equal.

    Raises: AnotherRun; NotSaved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings, learned_from = folder / "config.json", folder / "identity.json"
    another = []
    if settings.exists():
        stored = asdict(TuningConfig(**json.loads(settings.read_text())))
        another += [name for name, value in asdict(config).items() if stored[name] != value]
    if learned_from.exists():  # a folder may be older than this file
        stored = json.loads(learned_from.read_text())
        another += [name for name, value in inputs.items() if stored[name] != value]
    if another:
        raise AnotherRun(
            f"{folder} holds a run with another {', another '.join(another)}: give this one another"
        )
    for file, value in ((settings, config.to_dict()), (learned_from, inputs)):
        if not file.exists():
            with write_whole(file) as partial:
                partial.write_text(json.dumps(value, indent=2))


def load_checkpoint(checkpoint: Path) -> dict[str, Any] | None:
    """Return the state to go on from, or None; read as it is used, since it may be larger than the memory."""
    if not checkpoint.exists():
        return None
    return torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)


def updates_done(state: Mapping[str, Any] | None) -> int:
    """Return how many updates of all stages a checkpoint's state has behind it; 0 without one."""
    if state is None:
        return 0
    return int(state.get("updates", state["step"]))  # one stored before there were stages has but one


def save_checkpoint(tuner: Tuner, checkpoint: Path, stage: int, step: int, updates: int) -> None:
    with write_whole(checkpoint) as partial:
        torch.save({"stage": stage, "step": step, "updates": updates, "tuner": tuner.state_dict()}, partial)


def save_start(tuner: Tuner, materials: Materials, start: Path, *, roots: Sequence[Path]) -> None:
    """Store what a stage starts from.

    Args: roots: folders of the images of pairs; whoever goes on, on another host, may have them elsewhere.
    Raises: NotSaved.
    """
    start.parent.mkdir(exist_ok=True)
    weights = tuner.weights.state_dict()
    with write_whole(start) as partial:
        torch.save({"weights": weights, "materials": _dump_materials(materials, roots)}, partial)


def restore_start(
    tuner: Tuner, start: Path, *, roots: Sequence[Path], preferences: Sequence[Preference]
) -> Materials:
    """Give the tuner the weights that a stage started from, and return its materials.

    Args: roots: as of `save_start`. preferences: the run's, which no stage changes.
    """
    state = torch.load(start, map_location="cpu", weights_only=True, mmap=True)
    tuner.restore_weights(state["weights"])
    stored = state["materials"]
    return Materials(stored["prompts"], [_parse_pair(pair, roots) for pair in stored["pairs"]], preferences)


def discard_states(folder: Path) -> None:
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for stage in folder.glob("stage-*"):
        (stage / START).unlink(missing_ok=True)
        if not any(stage.iterdir()):
            stage.rmdir()


def _dump_materials(materials: Materials, roots: Sequence[Path]) -> dict[str, list[Any]]:
    return {
        "prompts": list(materials.prompts),
        "pairs": [_dump_pair(pair, roots) for pair in materials.pairs],
    }


def _dump_pair(pair: Pair, roots: Sequence[Path]) -> dict[str, Any]:
    fields = {**asdict(pair), "file": str(pair.file)}
    for number, root in enumerate(roots):
        if pair.file.is_relative_to(root):
            return {**fields, "file": str(pair.file.relative_to(root)), "root": number}
    return fields


def _parse_pair(stored: Mapping[str, Any], roots: Sequence[Path]) -> Pair:
    fields = dict(stored)
    root = roots[fields.pop("root")] if "root" in fields else Path()  # older ones name no root
    return Pair(**{**fields, "file": root / fields["file"]})
