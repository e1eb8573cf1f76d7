"""`manage.py sample`: images of given prompts, into a folder. It needs no project and no database."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotation.services.imports import ImportRefused
from annotation.services.imports.texts import read_lines
from refl.image_files import Description, ImageFile, Judge, make_files, split_seeds
from refl.seeds import seeds_of

BATCH = 16


class Command(BaseCommand):
    help = (
        "Make images of the prompts of a text file, one a line, with a diffusers pipeline. The folder gets "
        "the images and a manifest.jsonl for `import_generations`. Images that are there are not made again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--generator", required=True, metavar="FOLDER", help="of a pipeline, or a hub id")
        parser.add_argument(
            "--lora",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="over the pipeline; of several, in order",
        )
        parser.add_argument("--prompts", required=True, type=Path, metavar="FILE", help="one prompt a line")
        parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="where images are written")
        parser.add_argument(
            "--per-prompt", type=int, default=1, metavar="K", help="images of each (default 1)"
        )
        parser.add_argument("--steps", type=int, default=50, help="denoising steps (default 50)")
        parser.add_argument("--guidance-scale", type=float, default=7.5, help="1 for none (default 7.5)")
        parser.add_argument(
            "--best-of",
            type=int,
            default=1,
            metavar="N",
            help="make N candidates of each image, and keep the one that --reward likes best (default 1)",
        )
        parser.add_argument(
            "--reward", metavar="MODEL", help="with --best-of: a reward model's folder, file, name or hub id"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        per_prompt, best_of = options["per_prompt"], options["best_of"]
        if min(per_prompt, options["steps"], best_of) < 1 or not 1 <= options["guidance_scale"] < math.inf:
            raise CommandError("--per-prompt, --steps, --best-of and --guidance-scale must be at least 1")
        if (best_of > 1) != bool(options["reward"]):
            raise CommandError("--best-of N, of 2 or more, and --reward MODEL are given together")
        try:
            rows = [
                (number, ImageFile(text, seeds, options["to"] / _name(number, seeds)))
                for number, text in read_lines(options["prompts"])
                for seeds in split_seeds(seeds_of(text, per_prompt * best_of), best_of)
            ]
            if not rows:
                raise CommandError(f"{options['prompts']}: has no prompts")
            generator = " + ".join([options["generator"], *map(str, options["lora"])])
            manifest = options["to"] / "manifest.jsonl"
            _check_generator(manifest, generator)
            missing = [row for _, row in rows if not _is_made(row, options["reward"])]
            if missing:
                self.make(missing, options)
            manifest.write_text("\n".join(_manifest(rows, generator)) + "\n", encoding="utf-8")
        except (ImportRefused, OSError, ValueError) as error:  # NotAPipeline is a ValueError
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"{len(missing)} images made, {len(rows) - len(missing)} were there, in {options['to']}"
        )

    def make(self, missing: list[ImageFile], options: dict[str, Any]) -> None:
        from refl.learning.families.loading import load_family
        from rewardmodel.learning import load

        judge = Judge(options["reward"], load(options["reward"]).score_pairs) if options["reward"] else None
        family = load_family(options["generator"], loras=options["lora"])
        options["to"].mkdir(parents=True, exist_ok=True)
        made = make_files(
            family,
            missing,
            judge,
            steps=options["steps"],
            guidance_scale=options["guidance_scale"],
            batch_size=BATCH,
        )
        for _ in tqdm(made, total=len(missing), unit="image"):
            pass


def _name(number: int, seeds: Sequence[int]) -> str:
    best = f"-best-of-{len(seeds)}" if len(seeds) > 1 else ""
    return f"{number:05}-{seeds[0]}{best}.png"


def _check_generator(manifest: Path, generator: str) -> None:
    """Refuse a folder that another generator filled: its images would pass for this one's."""
    if not manifest.exists():
        return
    for _, line in read_lines(manifest):
        for image in json.loads(line)["images"]:
            if image["generator"] != generator:
                other = image["generator"]
                raise CommandError(
                    f"{manifest.parent} has images by {other}: {generator} needs its own folder"
                )


def _is_made(row: ImageFile, reward: str | None) -> bool:
    """Whether its file is there, and this reward model chose it, if one is to choose."""
    if reward is None:
        return row.file.exists()
    description = Description.read(row.file)
    return description is not None and description.reward_model == reward


def _manifest(rows: list[tuple[int, ImageFile]], generator: str) -> Iterator[str]:
    """One line for each prompt."""
    for (number, prompt), images in groupby(rows, key=lambda row: (row[0], row[1].prompt)):
        files = [{"file": row.file.name, "generator": generator, **_origin(row)} for _, row in images]
        line = {"prompt_id": f"{number:05}", "prompt": prompt, "images": files}
        yield json.dumps(line, ensure_ascii=False)


def _origin(row: ImageFile) -> dict[str, Any]:
    """Return the seed of its image, and how it was chosen."""
    description = Description.read(row.file)
    if description is None:
        return {"seed": row.seeds[0]}
    return {"seed": description.seed, "parameters": description.parameters()}
