"""Selecting prompts: asking for a run, and what that run does. The graph itself is annotation's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils.timezone import now

from annotation.models import Encoder, Project, PromptSelection, User
from annotation.registry import register_action
from annotation.selectors.projects.selections import candidate_prompts, texts_without_vectors, vectors_of
from annotation.services.actions import record_action
from annotation.services.projects.selections import (
    Choice,
    delete_selection,
    finish_selection,
    keep_vectors,
    record_set,
    register_encoder,
    start_selection,
)
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import SelectionRun
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, PermanentFailure
from rewardmodel.selection.config import SelectionConfig

if TYPE_CHECKING:
    from rewardmodel.selection.duplicates import Distinct
    from rewardmodel.selection.sentences import EncoderFolder

SELECTION_DISCARDED = register_action("selection.discarded", "Selection discarded")
ENCODED_AT_ONCE = 512  # texts between two looks at whether to stop
DRAWN = 10_000  # at most so many prompts are on the map
WIDTH = 1000.0  # of the map, in its own unit

Candidate = tuple[int, str]  # id and text of a prompt


class CannotSelect(PermanentFailure):
    """Nothing can be chosen so; the message says why."""


@transaction.atomic
def queue_selection(
    *, project: Project, config: Mapping[str, Any] | None = None, by: User | None = None
) -> SelectionRun:
    """Ask for a selection among the prompts that the project has now.

    Args:
        config: fields of a SelectionConfig that differ from the defaults.
        by: who asks, for the log; None for a command.
    Raises: CannotSelect.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    try:
        complete = SelectionConfig(**config or {})
    except (TypeError, ValueError) as error:
        raise CannotSelect(str(error)) from error
    if SelectionRun.objects.active().filter(project=project).exists():
        raise CannotSelect(f"prompts of {project.slug} are being selected already")
    _check_enough(project.prompts.count(), complete, project)
    newest = project.prompts.aggregate(newest=Max("pk"))["newest"]
    run = SelectionRun.objects.create(project=project, config=complete.to_dict(), newest_prompt=newest)
    return states.record_request(run, by=by)


@transaction.atomic
def discard_selection(selection: PromptSelection, *, by: User) -> None:
    """Delete what a run chose, by hand; images made for its prompts stay."""
    record_action(SELECTION_DISCARDED, project=selection.project_id, by=by, subject=selection)
    delete_selection(selection)


def select_prompts(run: SelectionRun, heartbeat: Heartbeat) -> None:
    """Do the run's work: drop duplicates, encode the texts, let each set's prompts vote, draw the map.

    Done again after an interruption, it goes on where it stopped: vectors and finished sets are kept.

    Raises: CannotSelect, Interrupted.
    """
    from rewardmodel.selection.duplicates import drop_duplicates
    from rewardmodel.selection.graph import partition
    from rewardmodel.selection.sentences import EncoderMissing, EncoderRefused, find_encoder

    config = SelectionConfig(**run.config)
    try:
        folder = find_encoder(settings.SENTENCE_ENCODER)
    except (EncoderMissing, EncoderRefused) as error:
        raise CannotSelect(str(error)) from error
    encoder = register_encoder(name=folder.name, digest=folder.digest)
    prompts = candidate_prompts(run.project, up_to=run.newest_prompt)
    distinct = drop_duplicates([text for _, text in prompts], threshold=config.near_duplicates)
    kept = [prompts[position] for position in distinct.kept]
    _check_enough(len(kept), config, run.project)
    progress = _Progress(heartbeat, steps=2 * len(kept))
    _encode(encoder, folder, [text for _, text in kept], progress)

    selection = _selection_of(run, config, encoder, len(prompts), distinct)
    sets = partition(len(kept), set_size=config.set_size, seed=config.seed)
    for number, (members, count) in enumerate(zip(sets, config.wanted(len(sets)), strict=True)):
        if number < len(selection.sets):
            progress.add(len(members))
        else:
            _vote(selection, [kept[i] for i in members.tolist()], count, config, progress)
    finish_selection(selection=selection, plane=_plane(selection, kept, config.seed), now=now())


class _Progress:
    """Counts steps, reports them, and stops the work when it is to stop."""

    def __init__(self, heartbeat: Heartbeat, steps: int) -> None:
        self.heartbeat, self.step, self.steps = heartbeat, 0, steps

    def add(self, count: int) -> None:
        """Raises: Interrupted, JobLost."""
        self.step += count
        self.heartbeat.report(step=self.step, steps=self.steps, values={})
        if self.heartbeat.should_stop():
            raise Interrupted


def _encode(encoder: Encoder, folder: EncoderFolder, texts: Sequence[str], progress: _Progress) -> None:
    """Encode and store the texts that have no vector yet; the model is loaded only where there are any."""
    from rewardmodel.selection.sentences import EncoderRefused, load_encoder

    missing = texts_without_vectors(encoder, texts)
    progress.add(len(texts) - len(missing))
    if not missing:
        return
    try:
        model = load_encoder(folder)
    except EncoderRefused as error:
        raise CannotSelect(str(error)) from error
    missing.sort(key=len)  # texts of like length together: less padding
    for start in range(0, len(missing), ENCODED_AT_ONCE):
        chunk = missing[start : start + ENCODED_AT_ONCE]
        keep_vectors(encoder=encoder, texts=chunk, vectors=model.encode(chunk))
        progress.add(len(chunk))


def _vote(
    selection: PromptSelection,
    members: Sequence[Candidate],
    count: int,
    config: SelectionConfig,
    progress: _Progress,
) -> None:
    """Choose from one set, and record it."""
    import numpy as np

    from rewardmodel.selection import graph

    vectors = vectors_of(selection.encoder, [text for _, text in members])
    neighbours = graph.nearest_neighbours(vectors, config.neighbours, on_rows=progress.add)
    choices = graph.choose(neighbours, count, discount=config.discount)
    chosen = np.array([choice.vertex for choice in choices], np.int64)
    n, k = neighbours.shape
    record_set(
        selection=selection,
        prompts=n,
        choices=[Choice(members[choice.vertex][0], choice.score, choice.voters) for choice in choices],
        covered=graph.covered(neighbours, chosen),
        covered_by_chance=graph.covered_by_chance(n, k, len(choices)),
    )


def _plane(selection: PromptSelection, kept: Sequence[Candidate], seed: int) -> dict[str, Any]:
    """The chosen prompts and a sample of the others, on the plane on which they differ most."""
    import numpy as np

    from rewardmodel.selection.projection import principal_plane

    chosen = set(selection.chosen.values_list("prompt", flat=True))
    others = [position for position, (pk, _) in enumerate(kept) if pk not in chosen]
    drawn = np.random.default_rng(seed).permutation(others)[: max(0, DRAWN - len(chosen))]
    shown = sorted({position for position, (pk, _) in enumerate(kept) if pk in chosen} | set(drawn.tolist()))
    plane = principal_plane(vectors_of(selection.encoder, [kept[position][1] for position in shown]))
    corner = plane.points.min(axis=0)
    spread = np.maximum(plane.points.max(axis=0) - corner, 1e-9)
    scale = WIDTH / spread[0]
    across, up = ((plane.points - corner) * scale).round(1).T
    return {
        "width": WIDTH,
        "height": round(float(spread[1] * scale), 1),
        "shares": plane.shares,
        "prompts": [kept[position][0] for position in shown],
        "x": across.tolist(),
        "y": up.tolist(),
    }


def _selection_of(
    run: SelectionRun, config: SelectionConfig, encoder: Encoder, candidates: int, distinct: Distinct
) -> PromptSelection:
    """Return the selection that an earlier attempt began with the same encoder, else start a new one."""
    selection = run.selection
    if selection is not None and selection.encoder_id == encoder.pk:
        return selection
    with transaction.atomic():
        if selection is not None:
            delete_selection(selection)
        run.selection = start_selection(
            project=run.project,
            config=config.to_dict(),
            encoder=encoder,
            candidates=candidates,
            exact_duplicates=distinct.exact,
            near_duplicates=distinct.near,
        )
        run.save(update_fields=["selection"])
    return run.selection


def _check_enough(prompts: int, config: SelectionConfig, project: Project) -> None:
    """Raises: CannotSelect where there are fewer prompts than are to be chosen, or none to compare."""
    if prompts < max(2, config.count or 1):
        wanted = f"{config.count} are to be chosen" if config.count else "there is nothing to choose from"
        raise CannotSelect(f"{project.slug} has {prompts} different prompt(s): {wanted}")
