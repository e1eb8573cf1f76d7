"""`manage.py tune_generator`: tune a generator with the reward model, and keep it if it is sound."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.management.projects import find_project
from annotation.statistics import notation
from refl.management.rows import find_generator
from refl.models import Generator, TuningRun
from refl.services.tuning import queue_tuning, share_tuning, tune_generator
from rewardmodel.management.rows import find_checkpoint
from rewardmodel.runs.command import add_config_argument, add_run_arguments, config_from, work_on


class Command(BaseCommand):
    help = (
        "Tune a project's generator with its reward model (ReFL) in this process, compare it on held-out "
        "prompts with the one it came from, and keep it if a reward it was not tuned on does not fall."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--generator", metavar="NAME", help="to start from; default: the newest kept one")
        parser.add_argument("--checkpoint", metavar="NAME", help="the reward; default: the promoted one")
        add_config_argument(parser, of="TuningConfig", example="updates=200")
        add_run_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Under torchrun the first process alone works on the run's row; the others share its updates."""
        from rewardmodel.learning.training.distributed import is_launched, rank, take_own_device
        from rewardmodel.learning.training.signals import end_with_parent, stopping_at_signals

        if is_launched():
            end_with_parent()
            take_own_device()
            if options["run"] is None:
                raise CommandError("several processes share a queued run: name it with --run")
        if rank() > 0:
            with stopping_at_signals() as should_stop:
                share_tuning(TuningRun.objects.get(pk=options["run"]), should_stop)
            return
        run = work_on(TuningRun, tune_generator, options=options, queue=lambda: self.queue(options))
        if run.state == TuningRun.State.FINISHED:
            self.stdout.write(in_words(run.result))
            self.stdout.write(f"{run.seconds:.0f} s, at most {(run.peak_memory or 0) / 2**20:.0f} MiB")

    def queue(self, options: dict[str, Any]) -> TuningRun:
        project = find_project(options["project"])
        return queue_tuning(
            project=project,
            generator=find_generator(project, options["generator"]) if options["generator"] else None,
            checkpoint=find_checkpoint(project, options["checkpoint"]) if options["checkpoint"] else None,
            config=config_from(options),
        )


def in_words(generator: Generator) -> str:
    """Whether it was kept and why; and, but for a control, how the reward it was tuned on changed."""
    verdict = f"{generator}: {'kept' if generator.kept else 'not kept'}. {generator.reason}"
    change = generator.metrics.get("tuned_on")
    if change is None:
        return verdict
    return (
        f"{verdict}\n"
        f"  The reward it was tuned on: {notation.decimals(change['before'])} before, "
        f"{notation.decimals(change['after'])} after, "
        f"{notation.change(change['difference'], change['low'], change['high'])}."
    )
