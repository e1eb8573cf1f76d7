"""`python -m rewardmodel.learning.training`: train from the folder of a dataset version, without Django.

Under torchrun, all processes run this same command.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rewardmodel.learning.checkpoints.folder import find
from rewardmodel.learning.config import RewardConfig, parse_value
from rewardmodel.learning.data.preprocessing import UnreadableImage
from rewardmodel.learning.data.rankings import DatasetError
from rewardmodel.learning.devices import DeviceError
from rewardmodel.learning.errors import CheckpointError, Interrupted
from rewardmodel.learning.training import Callbacks, PeerFailed, Progress, TrainingDiverged, join, train
from rewardmodel.learning.training.distributed import is_launched, rank
from rewardmodel.learning.training.signals import end_with_parent, stopping_at_signals

STOPPED = 3
FAILURES = (CheckpointError, DatasetError, DeviceError, UnreadableImage, TrainingDiverged, PeerFailed)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed, 2 wrongly called, 3 stopped by a signal with all saved to go on."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if is_launched():
        end_with_parent()
    if options.follow or rank() > 0:
        try:
            join(options.device)
        except FAILURES:
            return 1  # the leading process says what it was
        return 0
    if not (options.dataset and options.initial and options.to):
        parser.error("name --dataset, --initial and --to")
    try:
        config = RewardConfig(**dict(map(_parse_field, options.set)))
    except (TypeError, ValueError) as error:
        parser.error(f"--set: {error}")
    try:
        with stopping_at_signals() as should_stop:
            result = train(
                config,
                dataset=options.dataset,
                images=options.images or options.dataset,
                initial=find(options.initial),
                folder=options.to,
                callbacks=Callbacks(on_step=_print_json, should_stop=should_stop),
                device=options.device,
            )
    except Interrupted as interrupted:
        print(f"interrupted {interrupted}; the same command goes on from there", file=sys.stderr)
        return STOPPED
    except FAILURES as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"checkpoint": str(result.checkpoint), **dataclasses.asdict(result.validation)}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rewardmodel.learning.training", description=__doc__)
    parser.add_argument("--dataset", type=Path, help="folder of a dataset version, with its rankings.jsonl")
    parser.add_argument("--images", type=Path, help="what its image paths are relative to; else that folder")
    parser.add_argument("--initial", help="checkpoint to start from: a folder, or a hub id")
    parser.add_argument("--to", type=Path, help="folder for the run's state and for best/, the result")
    parser.add_argument("--device", help="such as cpu; else each process takes a GPU, if there is one")
    parser.add_argument("--follow", action="store_true", help="do what the first host hands out")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of RewardConfig, such as epochs=3, its value a word or JSON",
    )
    return parser


def _parse_field(text: str) -> tuple[str, Any]:
    """Return a field's name and value. Raises: ValueError for an unknown field or a value that is none."""
    name, _, value = text.partition("=")
    fields = [field.name for field in dataclasses.fields(RewardConfig)]
    if name not in fields:
        raise ValueError(f"no field {name!r}; there are {', '.join(fields)}")
    try:
        return name, parse_value(value)
    except ValueError:
        raise ValueError(f"{text}: the value is to be a word or JSON, such as 3 or true") from None


def _print_json(progress: Progress) -> None:
    print(json.dumps(dataclasses.asdict(progress)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
