"""Agreement of people, the ensemble and the reward model, and people's consensus."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from django.db import transaction
from django.db.models import Case, F, FloatField, Value, When
from django.db.models.functions import Coalesce

from annotation.access import MAY, Do
from annotation.models import Assignment, Placement, Project, Rating, User
from annotation.models.assignments import COMPARED
from annotation.models.axes import SCALE, Axis, point
from annotation.selectors.projects.images import most_used_model
from annotation.statistics.agreement import ENSEMBLE, MODEL, Comparisons, Measure, compare
from annotation.statistics.alpha import ordinal_alpha
from annotation.statistics.consensus import consensus
from annotation.statistics.davidson import outcomes
from annotation.statistics.estimates import ENOUGH_PROMPTS, Booleans, Estimate, Integers, NotEnough, Resamples
from annotation.statistics.panels import Panel, Placements, panels
from annotation.statistics.reliability import reliability

CHUNK = 5000  # rows fetched at a time
SEED = 0  # seed of the resamples: the same answers give the same page
COLUMNS = ("Researchers", "Annotators", "Ensemble", "Reward model")  # the first three are rows too
ROW = [("prompt", "i8"), ("opinion", "i8"), ("rater", "i8"), ("image", "i8"), ("slot", "i8"), ("score", "f8")]

Figure = Estimate | NotEnough


class Person(NamedTuple):
    """Somebody whose answers are compared: an annotator, or a researcher, who sets the standard."""

    username: str
    annotates: bool


@dataclass(frozen=True)
class Opinions:
    """A project's accepted rankings as arrays; people and prompts are numbered from 0.

    `model` is the reward model whose scores are compared, "" where there is none.
    """

    panels: list[Panel]
    people: list[Person]
    prompt_ids: Integers  # (prompts,) number -> primary key
    answers: Integers  # (people,)
    model: str

    @property
    def annotates(self) -> Booleans:
        return np.array([person.annotates for person in self.people], bool)


@dataclass(frozen=True)
class PersonAgreement:
    """One person beside the others; `right` is how often their preference is the true one."""

    username: str
    annotates: bool
    answers: int
    figures: list[Figure]  # beside each of COLUMNS
    right: float | None  # None where too few prompts are shared with others


class AxisAgreement(NamedTuple):
    """Krippendorff's alpha of one axis of rating."""

    axis: Axis
    alpha: Figure


@dataclass(frozen=True)
class Agreement:
    """The layout of the paper's Table 2a: `table` has each row's name and figures; None: does not apply."""

    answers: int
    prompts: int
    shared: int  # prompts with two opinions or more
    model: str
    columns: tuple[str, ...]
    table: list[tuple[str, list[Figure | None]]]
    people: list[PersonAgreement]


@dataclass(frozen=True)
class Consensus:
    """Strengths of images, by generation id; comparable within a prompt."""

    strengths: dict[int, float]
    tie: float

    def preferred(self, one: int, other: int) -> float:
        """Return the probability that people prefer one image of a prompt to the other, a tie as half.

        Raises: KeyError for an image that no accepted ranking places.
        """
        margin = np.array(self.strengths[one] - self.strengths[other])
        win, draw = outcomes(margin, np.array(self.tie))
        return float(win + draw / 2)


def read_opinions(project: Project, *, until: datetime | None = None) -> Opinions:
    """Return every accepted ranking of those COMPARED, in one streamed query, with one reward model's scores.

    Scores count only where the model was not trained on the prompt.

    Args: until: rankings accepted later are left out.
    """
    model = most_used_model(project)
    fair = When(generation__scored_by=model, generation__scored_unseen=True, then=F("generation__score"))
    accepted = Placement.objects.filter(
        ranking__assignment__project=project,
        ranking__assignment__kind__in=COMPARED,
        ranking__assignment__state=Assignment.State.ACCEPTED,
    )
    if until is not None:
        accepted = accepted.filter(ranking__assignment__accepted_at__lte=until)
    rows = accepted.order_by().values_list(
        "ranking__assignment__prompt_id",
        "ranking__assignment_id",
        "ranking__assignment__annotator_id",
        "generation_id",
        "slot",
        Case(fair, default=Value(float("nan")), output_field=FloatField()),
    )
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        table = np.fromiter(rows.iterator(chunk_size=CHUNK), ROW)
    prompt_ids, prompts = np.unique(table["prompt"], return_inverse=True)
    rater_ids, raters = np.unique(table["rater"], return_inverse=True)
    placed = Placements(prompts, table["opinion"], raters, table["image"], table["slot"], table["score"])
    by_shape = panels(placed)
    answers = sum(
        (np.bincount(panel.raters.ravel(), minlength=len(rater_ids)) for panel in by_shape),
        np.zeros(len(rater_ids), np.int64),
    )
    return Opinions(by_shape, _people(project, rater_ids), prompt_ids, answers, model)


def project_agreement(opinions: Opinions, measure: Measure) -> Agreement:
    """Return the agreement of every two judges, by one measure."""
    resamples = Resamples(len(opinions.prompt_ids), seed=SEED)
    comparisons = compare(opinions.panels, opinions.annotates)
    groups = _groups(opinions)
    table: list[tuple[str, list[Figure | None]]] = [
        (
            row,
            [
                None
                if row == column == "Ensemble"
                else comparisons.between(groups[row], groups[column]).measure(measure, resamples)
                for column in COLUMNS
            ],
        )
        for row in COLUMNS[:3]
    ]
    return Agreement(
        answers=int(opinions.answers.sum()),
        prompts=len(opinions.prompt_ids),
        shared=sum(len(panel.prompts) for panel in opinions.panels if panel.raters.shape[1] > 1),
        model=opinions.model,
        columns=COLUMNS,
        table=table,
        people=_by_person(opinions, comparisons, measure, resamples),
    )


def rating_agreement(project: Project) -> list[AxisAgreement]:
    """Krippendorff's alpha of each axis, over the images of accepted answers; empty where none are rated."""
    axes = project.rating_axes
    points = [Coalesce(point(axis.name), 0) for axis in axes]  # 0: an imported rating may lack some
    rows = (
        Rating.objects.filter(
            assignment__project=project,
            assignment__kind__in=COMPARED,
            assignment__state=Assignment.State.ACCEPTED,
        )
        .order_by()
        .values_list("assignment__prompt_id", "generation_id", *points)
    )
    columns = [("prompt", "i8"), ("image", "i8"), ("points", "i8", (len(axes),))]
    with transaction.atomic(savepoint=False):  # so that rows are streamed
        table = np.fromiter(
            ((prompt, image, points) for prompt, image, *points in rows.iterator(chunk_size=CHUNK)), columns
        )
    if not len(table):
        return []
    prompt_ids, prompts = np.unique(table["prompt"], return_inverse=True)
    resamples = Resamples(len(prompt_ids), seed=SEED)
    figures = []
    for axis, points in zip(axes, table["points"].T, strict=True):
        known = points > 0
        images = table["image"][known]
        alpha = ordinal_alpha(prompts[known], images, points[known], highest=SCALE[1], resamples=resamples)
        figures.append(AxisAgreement(axis, alpha))
    return figures


def project_consensus(project: Project, *, until: datetime | None = None) -> Consensus:
    """Bradley and Terry's model with ties, of accepted opinions, each weighed by its author's reliability.

    Args: until: opinions accepted later are left out.
    """
    opinions = read_opinions(project, until=until)
    weights = reliability(opinions.panels, len(opinions.people)).weights
    return Consensus(*consensus(opinions.panels, weights))


def _groups(opinions: Opinions) -> dict[str, Booleans]:
    """Return the judges of each of COLUMNS: (people + 2,), the last two MODEL and ENSEMBLE."""
    annotators = np.append(opinions.annotates, [False, False])
    judges = np.arange(len(annotators)) - len(annotators)
    ensemble, model = judges == ENSEMBLE, judges == MODEL
    return dict(zip(COLUMNS, (~(annotators | ensemble | model), annotators, ensemble, model), strict=True))


def _by_person(
    opinions: Opinions, comparisons: Comparisons, measure: Measure, resamples: Resamples
) -> list[PersonAgreement]:
    """Return people, annotators first, then those with most answers."""
    groups, estimated = _groups(opinions), reliability(opinions.panels, len(opinions.people))
    rows = []
    for number, person in enumerate(opinions.people):
        alone = np.arange(len(opinions.people) + 2) == number
        person_comparisons = comparisons.of(number)
        beside = {group: person_comparisons.between(alone, members) for group, members in groups.items()}
        figures = {group: rows.measure(measure, resamples) for group, rows in beside.items()}
        shared = [beside[group].prompts for group in ("Researchers", "Annotators")]
        has_enough = len(np.unique(np.concatenate(shared))) >= ENOUGH_PROMPTS
        rows.append(
            PersonAgreement(
                username=person.username,
                annotates=person.annotates,
                answers=int(opinions.answers[number]),
                figures=[figures[group] for group in groups],
                right=float(estimated.right[number]) if has_enough else None,
            )
        )
    return sorted(rows, key=lambda row: (not row.annotates, -row.answers, row.username))


def _people(project: Project, ids: Integers) -> list[Person]:
    names = User.objects.in_bulk([int(pk) for pk in ids])
    annotates = {pk: not user.is_superuser for pk, user in names.items()}  # former members do
    roles = project.memberships.filter(user__in=names).values_list("user_id", "role")
    annotates |= {pk: Do.ANNOTATE in MAY[role] for pk, role in roles}
    return [Person(names[pk].username, annotates[pk]) for pk in map(int, ids)]
