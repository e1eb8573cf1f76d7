"""The grids of samples in a tuning's folder, and the images that they are made of."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from annotation.stored_files import file_names, open_file
from refl.learning.config import GRID_COLUMNS, GRID_GAP
from refl.models import TuningRun


def grid_file(run: TuningRun, step: int) -> Path:
    return run.folder / "samples" / f"step-{step:06}.png"


def grid_steps(run: TuningRun) -> list[int]:
    """Return the updates that have a grid, ascending; 0 is before the first."""
    files = [Path(name) for name in file_names(run.folder / "samples")]
    return sorted(int(file.stem.removeprefix("step-")) for file in files if file.match("step-*.png"))


def grid_prompts(run: TuningRun) -> list[str]:
    """Return the prompts of the grids' images, row by row; the seed of each is its place, from 0."""
    try:
        with open_file(run.folder / "prompts.json") as file:
            frozen = json.load(file)
    except FileNotFoundError:
        return []
    prompts: list[str] = frozen["tuning"][: run.config["sample_prompts"]]
    return prompts


def cell_size(grid: Image.Image, count: int) -> tuple[int, int]:
    """Return width and height of each of a grid's images, of which there are `count`, 1 or more."""
    rows = -(-count // GRID_COLUMNS)
    return (grid.width + GRID_GAP) // GRID_COLUMNS - GRID_GAP, (grid.height + GRID_GAP) // rows - GRID_GAP


def cell_box(grid: Image.Image, place: int, count: int) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the image at a place, from 0, of a grid of `count`."""
    width, height = cell_size(grid, count)
    row, column = divmod(place, GRID_COLUMNS)
    return column * (width + GRID_GAP), row * (height + GRID_GAP), width, height


def cell(grid: Image.Image, place: int, count: int) -> Image.Image:
    """Return the image at a place, from 0, of a grid of `count`."""
    left, top, width, height = cell_box(grid, place, count)
    return grid.crop((left, top, left + width, top + height))
