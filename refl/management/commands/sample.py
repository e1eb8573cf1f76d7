"""`manage.py sample`: images of given prompts, into a folder. It needs no project and no database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotation.services.imports import ImportRefused
from annotation.services.imports.rows import read_lines
from refl.seeds import seeds_of
from rewardmodel.learning.saving import write_whole

BATCH = 16


@dataclass(frozen=True)
class Row:
    """One image: the line of its prompt, and where it goes."""

    number: int
    prompt: str
    seed: int
    file: Path


class Command(BaseCommand):
    help = (
        "Make images of the prompts of a text file, one a line, with a diffusers pipeline. The folder gets "
        "the images and a manifest.jsonl for `import_generations`. Images that are there are not made again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--generator", required=True, metavar="FOLDER", help="of a pipeline, or a hub id")
        parser.add_argument("--prompts", required=True, type=Path, metavar="FILE", help="one prompt a line")
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="where images are written")
        parser.add_argument(
            "--per-prompt", type=int, default=1, metavar="K", help="images of each (default 1)"
        )
        parser.add_argument("--steps", type=int, default=50, help="denoising steps (default 50)")
        parser.add_argument("--guidance-scale", type=float, default=7.5, help="1 for none (default 7.5)")

    def handle(self, *args: Any, **options: Any) -> None:
        if min(options["per_prompt"], options["steps"]) < 1 or options["guidance_scale"] < 1:
            raise CommandError("--per-prompt, --steps and --guidance-scale must be at least 1")
        try:
            rows = [
                Row(number, text, seed, options["to"] / f"{number:05}-{seed}.png")
                for number, text in read_lines(options["prompts"])
                for seed in seeds_of(text, options["per_prompt"])
            ]
            if not rows:
                raise CommandError(f"{options['prompts']}: has no prompts")
            missing = [row for row in rows if not row.file.exists()]
            if missing:
                self.make(missing, options)
            manifest = options["to"] / "manifest.jsonl"
            manifest.write_text("\n".join(_manifest(rows, options["generator"])) + "\n", encoding="utf-8")
        except (ImportRefused, OSError, ValueError) as error:  # NotAPipeline is a ValueError
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{len(missing)} images made, {len(rows) - len(missing)} were there, in {options['to']}"
        )

    def make(self, missing: list[Row], options: dict[str, Any]) -> None:
        from refl.learning.families.loading import load_family
        from refl.learning.sampling import sample

        images = sample(
            load_family(options["generator"]),
            [row.prompt for row in missing],
            [row.seed for row in missing],
            steps=options["steps"],
            guidance_scale=options["guidance_scale"],
            batch_size=BATCH,
        )
        options["to"].mkdir(parents=True, exist_ok=True)
        for row, image in zip(missing, tqdm(images, total=len(missing), unit="image"), strict=True):
            with write_whole(row.file) as partial:
                image.save(partial, "PNG")


def _manifest(rows: list[Row], generator: str) -> Iterator[str]:
    """One line for each prompt."""
    for (number, prompt), images in groupby(rows, key=lambda row: (row.number, row.prompt)):
        files = [{"file": row.file.name, "generator": generator, "seed": row.seed} for row in images]
        row = {"prompt_id": f"{number:05}", "prompt": prompt, "images": files}
        yield json.dumps(row, ensure_ascii=False)
