"""What commands that do a run's work have in common: `COMMAND --run N` under a worker, or by hand."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils.timezone import now
from tqdm import tqdm

from rewardmodel.learning.config import parse_value
from rewardmodel.models import Run
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, execute

R = TypeVar("R", bound=Run)


def add_run_arguments(parser: CommandParser) -> None:
    """A project to queue a run of, or a run that waits."""
    parser.add_argument("project", nargs="?", help="the project's slug")
    parser.add_argument("--run", type=int, metavar="N", help="do the work of this queued run")
    parser.add_argument("--attempt", type=int, help=argparse.SUPPRESS)  # these two a worker gives
    parser.add_argument("--supervisor", type=int, help=argparse.SUPPRESS)


def add_config_argument(parser: CommandParser, *, of: str, example: str) -> None:
    """`--set FIELD=VALUE`, once for each field of the configuration `of` that is not the default."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help=f"a field of {of}, such as {example}, its value a word or JSON; replaces the project's policy",
    )


def config_from(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields that were set, None without any. Raises: CommandError."""
    return dict(map(_parse_field, options["set"])) or None


def work_on(
    model: type[R],
    work: Callable[[R, Heartbeat], None],
    *,
    options: Mapping[str, Any],
    queue: Callable[[], R],
) -> R:
    """Do the work of the run that the options name, else of the one that `queue` makes; with a progress bar.

    Raises: CommandError when both a project and a run are named, or neither; when the run is not there, is
        over or another's, fails, or is interrupted by hand.
    """
    if (options["project"] is None) == (options["run"] is None):
        raise CommandError("name either a project or, with --run, a queued run")
    if options["supervisor"]:
        try:
            run = model.objects.get(pk=options["run"])
        except model.DoesNotExist:
            raise CommandError(f"there is no {model._meta.verbose_name} {options['run']}") from None
        execute(
            run,
            lambda heartbeat: work(run, heartbeat),
            attempt=options["attempt"],
            supervisor=options["supervisor"],
        )
        return run
    try:
        run = _claim(model, options["run"], queue)
        with tqdm(unit="step", desc=str(run), dynamic_ncols=True) as bar:
            execute(run, lambda heartbeat: work(run, heartbeat), attempt=run.attempt, on_report=_draw_on(bar))
    except CommandError:
        raise
    except Exception as error:
        raise CommandError(f"{type(error).__name__}: {error}") from error
    if run.state != Run.State.FINISHED:
        resume = f"`manage.py {run.command} --run {run.pk}` resumes it"
        raise CommandError(f"{run} was interrupted at step {run.step} of {run.steps}; {resume}")
    return run


def _parse_field(text: str) -> tuple[str, Any]:
    """Return a field's name and its value: a word, or JSON. Raises: CommandError."""
    name, _, value = text.partition("=")
    try:
        return name, parse_value(value)
    except ValueError as error:
        raise CommandError(f"--set {text}: not FIELD=VALUE with a word or a JSON value") from error


def _claim(model: type[R], pk: int | None, queue: Callable[[], R]) -> R:
    """Claim a run in the transaction that queues it: no worker comes in between. Raises: CommandError."""
    with transaction.atomic():
        run = queue() if pk is None else model.objects.filter(pk=pk).first()
        if run is None:
            raise CommandError(f"no run {pk}")
        states.claim(run, now=now())
    return run


def _draw_on(bar: tqdm[Any]) -> Callable[[int, int, Mapping[str, float]], None]:
    def draw(step: int, steps: int, values: Mapping[str, float]) -> None:
        bar.total = steps
        bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
        bar.update(step - bar.n)

    return draw
