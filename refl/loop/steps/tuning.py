"""The generator is tuned with the promoted reward model."""

from __future__ import annotations

from typing import Any

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, failed_status, off_or, run_status
from refl.loop.steps.judging import verdict
from refl.models import Generator, TuningPolicy, TuningRun
from refl.services.tuning import queue_tuning
from refl.templatetags.changes import change


def read(facts: Facts) -> Status:
    run, promoted = facts.newest(TuningRun), facts.promoted
    changed = _changed(facts.tuned) if facts.tuned else ""
    if run is not None and not run.is_over:
        return run_status(run, doing=f"{run.generator} learns from {run.checkpoint}", changed=changed)
    missing = []
    if promoted is None or promoted.run is None:
        missing.append("a promoted reward model that rankings trained")
    if facts.generator is None:
        missing.append(f"a generator: manage.py register_generator {facts.project.slug} NAME FOLDER")
    if missing:
        return Status(State.WAITING, missing=tuple(missing), run=run, changed=changed)
    if not facts.is_tried:
        because = f"{promoted} was promoted"
        state = off_or(State.READY, by_itself=facts.tunes_by_itself)
        return Status(
            state, f"{because}; no generator was tuned with it yet", because=because, run=run, changed=changed
        )
    if run is not None and run.state == TuningRun.State.FAILED:
        return failed_status(run, changed=changed)
    return Status(
        State.DONE, f"tuned with {promoted}; the next promotion starts the next", run=run, changed=changed
    )


def start(project: Project, *, by: User | None = None, because: str = "", **options: Any) -> Started:
    """Queue a tuning, by default of the newest kept generator with the promoted reward model.

    Args: options: of `queue_tuning`.
    Raises: CannotTune, NoGenerator, NothingPromoted.
    """
    run = queue_tuning(project=project, by=by, because=because, **options)
    return Started(f"{run.generator} is tuned with {run.checkpoint}.", run=run)


def outcome(run: TuningRun) -> str:
    """Return what it made, and the verdict on that."""
    tuned = getattr(run, "result", None)
    return verdict(tuned) if tuned else ""


def _changed(tuned: Generator) -> str:
    measured = tuned.metrics.get("tuned_on")
    return f"{tuned}: its reward {change(measured)}" if measured else str(tuned)


STEP = Step(
    key="tune",
    title="Tune the generator",
    about="The newest kept generator learns to make what the promoted reward model scores higher.",
    read=read,
    start=start,
    outcome=outcome,
    model=TuningRun,
    policy=TuningPolicy,
)
