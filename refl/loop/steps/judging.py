"""What a tuning made is judged by rewards that it was not tuned on: the end of the tuning's own run."""

from __future__ import annotations

from annotation.models import Project, User
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, StepRefused, failed_status
from refl.models import Generator, TuningRun
from refl.templatetags.changes import change
from rewardmodel.runs import states


def read(facts: Facts) -> Status:
    run, tuned = facts.newest(TuningRun), facts.tuned
    changed = verdict(tuned) if tuned and tuned.kept is not None else ""
    if run is not None and not run.is_over:
        if run.steps and run.step == run.steps:
            return Status(
                State.RUNNING, "compares it with its parent on held-out prompts", run=run, changed=changed
            )
        left = (
            f"the last {run.steps - run.step:,} of {run.steps:,} updates"
            if run.steps
            else "the tuning to begin"
        )
        return Status(State.WAITING, missing=(left,), changed=changed)
    if tuned is None:
        return Status(State.WAITING, missing=("a tuned generator",))
    if tuned.kept is None and run is not None and run.state == TuningRun.State.FAILED:
        return failed_status(run, changed=changed)
    if tuned.kept is None:
        return Status(
            State.WAITING, missing=(f"a verdict on {tuned}, whose tuning was cancelled",), changed=changed
        )
    return Status(State.DONE, f"{tuned} is {'kept' if tuned.kept else 'not kept'}", run=run, changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "") -> Started:
    """Take up again a tuning that failed while its result was judged. Raises: StepRefused, JobLost."""
    tuned = Generator.objects.filter(project=project, run__isnull=False).select_related("run").first()
    if tuned is None:
        raise StepRefused("a generator is judged when its tuning ends: tune one first")
    if tuned.kept is not None:
        raise StepRefused(f"{tuned} is judged, and a verdict stands: tune another, or ask people in a study")
    assert tuned.run is not None
    states.retry(tuned.run, by=by)
    return Started(f"{tuned} is judged.", run=tuned.run)


def verdict(tuned: Generator) -> str:
    """Return whether it is kept, and how each reward changed that it was not tuned on."""
    if tuned.kept is None:
        return f"{tuned}, not judged"
    kept = f"{tuned} {'kept' if tuned.kept else 'not kept'}"
    changes = "; ".join(f"{name} {change(measured)}" for name, measured in tuned.held_out.items())
    return f"{kept}: {changes}" if changes else kept


STEP = Step(
    key="judge",
    title="Judge the result",
    about="A tuned generator is kept if no reward falls that it was not tuned on; same prompts, same seeds.",
    read=read,
    start=start,
    comes_with="the end of each tuning",
)
