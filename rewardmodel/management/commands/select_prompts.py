"""`manage.py select_prompts`: choose the prompts that are worth images and people's time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.models import PromptSelection
from annotation.statistics.notation import percent
from rewardmodel.models import SelectionRun
from rewardmodel.runs.command import add_run_arguments, work_on
from rewardmodel.selection.config import SelectionConfig
from rewardmodel.services.selections import queue_selection, select_prompts

DEFAULTS = SelectionConfig()
PARAMETERS = ("count", "per_set", "set_size", "neighbours", "discount", "near_duplicates", "seed")


class Command(BaseCommand):
    help = (
        "Choose prompts of a project by the paper's graph, in this process: duplicates are dropped, each "
        "prompt votes for those most like it, and its votes count less once it is served. Images are then "
        "made for the chosen ones only. The same prompts, parameters and seed choose the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        how_many = parser.add_mutually_exclusive_group()
        how_many.add_argument("--count", type=int, metavar="N", help="choose N prompts in all")
        how_many.add_argument(
            "--per-set", type=int, metavar="N", help=f"choose N from each set (default {DEFAULTS.per_set})"
        )
        for name, kind, what in (
            ("set-size", int, "about so many prompts a set; time grows with its square"),
            ("neighbours", int, "for so many prompts each prompt votes"),
            ("discount", float, "a vote counts 1 / D ** (chosen prompts that its voter voted for)"),
            ("near-duplicates", float, "share of word pairs from which on two prompts are one; 2: none are"),
            ("seed", int, "of the shuffle into sets"),
        ):
            default = getattr(DEFAULTS, name.replace("-", "_"))
            parser.add_argument(
                f"--{name}", type=kind, metavar=name[0].upper(), help=f"{what} (default {default:,})"
            )
        parser.add_argument(
            "--to", type=Path, metavar="FILE", help="write the chosen prompts there, as JSONL"
        )
        add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        config = {name: options[name] for name in PARAMETERS if options[name] is not None}
        run = work_on(
            SelectionRun,
            select_prompts,
            options=options,
            queue=lambda: queue_selection(project=find_project(options["project"]), config=config),
        )
        if run.state == SelectionRun.State.FINISHED and run.selection:
            self.report(run, run.selection)
            if options["to"]:
                self.write(run.selection, options["to"])

    def report(self, run: SelectionRun, selection: PromptSelection) -> None:
        chosen = selection.chosen.count()
        self.stdout.write(
            f"{selection.candidates:,} prompts, {selection.exact_duplicates:,} exact and "
            f"{selection.near_duplicates:,} near duplicates dropped; {chosen:,} chosen of "
            f"{selection.distinct:,} in {len(selection.sets):,} set(s)"
        )
        self.stdout.write(
            f"chosen, or voting for one that is: {percent(selection.coverage)}; "
            f"by chance {percent(selection.coverage_by_chance)}; read by {selection.encoder}"
        )
        self.stdout.write(f"{run.seconds:.0f} s, at most {(run.peak_memory or 0) / 2**20:.0f} MiB")

    def write(self, selection: PromptSelection, file: Path) -> None:
        rows = selection.chosen.values_list("prompt__key", "prompt__text")
        lines = (json.dumps({"id": key, "prompt": text}, ensure_ascii=False) + "\n" for key, text in rows)
        try:
            file.write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}") from None
        self.stdout.write(f"written to {file}")
