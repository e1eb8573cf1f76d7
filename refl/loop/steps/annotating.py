"""People judge the images: no run, but work that lies open."""

from __future__ import annotations

from annotation.models import Assignment, Project, User
from annotation.services.assignments.assignments import open_assignments, withdraw_open
from refl.loop.facts import Facts
from refl.loop.step import Started, State, Status, Step, StepRefused, counted

OPEN, LEASED, SUBMITTED, ACCEPTED = (
    Assignment.State.OPEN,
    Assignment.State.LEASED,
    Assignment.State.SUBMITTED,
    Assignment.State.ACCEPTED,
)


def read(facts: Facts) -> Status:
    counts = {state: facts.opinions.get(state, 0) for state in (OPEN, LEASED, SUBMITTED, ACCEPTED)}
    left, submitted, wanted = counts[OPEN] + counts[LEASED], counts[SUBMITTED], sum(counts.values())
    changed = f"{counted(counts[ACCEPTED], 'ranking')} accepted" if counts[ACCEPTED] else ""
    if not facts.has_images:
        return Status(State.WAITING, missing=("images to judge",), changed=changed)
    if left and not facts.annotators:
        return Status(
            State.WAITING, missing=("people who annotate: invite some under People",), changed=changed
        )
    if left:
        inspected = f", {counted(submitted, 'answer')} to be inspected" if submitted else ""
        note = f"{counted(left, 'opinion')} open{inspected}"
        return Status(State.RUNNING, note, progress=(wanted - left, wanted), changed=changed)
    if submitted:
        missing = f"an inspector, who has {counted(submitted, 'answer')} to look at"
        return Status(State.WAITING, missing=(missing,), changed=changed)
    if not wanted:
        return Status(State.OFF, "nobody is asked about the images yet")
    return Status(State.DONE, "everything is judged; new images bring new work", changed=changed)


def start(project: Project, *, by: User | None = None, because: str = "") -> Started:
    """Ask for opinions on every prompt that has images and was not asked about. Raises: StepRefused."""
    prompts = project.prompts.filter(generations__isnull=False).distinct()
    opened = open_assignments(prompts=prompts, by=by, because=because)
    if not opened:
        raise StepRefused(
            "every prompt with two images or more is asked about already: make images of other prompts first"
        )
    return Started(f"{counted(len(opened), 'opinion')} asked for.")


def cancel(project: Project, by: User | None) -> str:
    """Withdraw the opinions that nobody has begun; what is in somebody's hands stays. Raises: StepRefused."""
    withdrawn = withdraw_open(project=project, by=by)
    if not withdrawn:
        raise StepRefused("no opinion is open that nobody has begun: nothing to cancel")
    return f"{counted(withdrawn, 'opinion')} no longer asked for."


STEP = Step(
    key="annotate",
    title="Annotate",
    about="People rank the images of each prompt; inspectors look at a share of the answers.",
    read=read,
    start=start,
    cancel=cancel,
)
