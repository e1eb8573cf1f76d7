"""What a study found, and the studies of a project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

from django.db.models import Count, Max, Q, QuerySet

from annotation.models import Assignment, Generation, Project
from annotation.selectors.exports import pseudonym
from annotation.statistics.estimates import Estimate, NotEnough
from annotation.statistics.win_rates import each_confidence
from refl.models import Generator, Study
from refl.selectors.study_answers import Answers, Rate, Vote, read_answers
from refl.selectors.study_figures import (
    BoardRow,
    CategoryRates,
    RewardOpinion,
    Stop,
    StudyCounts,
    agreement_of,
    board_of,
    categories_of,
    count_assignments,
    placements_of,
    reward_opinion,
    stop_rule,
)
from refl.selectors.study_gallery import GalleryRow, gallery_of

State = Assignment.State


@dataclass(frozen=True)
class StudyReport:
    """Everything that a study's page shows. `pairwise` and `board` are of three generators or more.

    `closed_with` are the rates that a closed study had when it was closed: answers that were in hand then
    still come in, and may even leave open what was decided.
    """

    study: Study
    generators: list[Generator]
    problem: str
    counts: StudyCounts
    rates: list[Rate]
    closed_with: list[Rate]
    pairwise: list[Rate]
    board: list[BoardRow] | NotEnough | None
    categories: list[CategoryRates]
    agreement: Estimate | NotEnough
    reward: RewardOpinion | None
    stop: Stop
    answers: Answers

    @cached_property
    def gallery(self) -> list[GalleryRow]:
        return gallery_of(self.answers)


def project_studies(project: Project) -> QuerySet[Study]:
    """Return the project's studies, the newest first, with how many opinions are `answered` and `wanted`."""
    studies = Study.objects.filter(project=project).with_opinions().select_related("run", "opened_by")
    return studies.prefetch_related("entries__generator").order_by("-pk")


def study_report(study: Study) -> StudyReport:
    """Return everything that a study's page shows, in a fixed number of queries."""
    answers = read_answers(study)
    counts = count_assignments(study, answers)
    count, confidence = len(answers.generators), _confidence_of(answers)
    every_two = [
        answers.rate(one, other, confidence=confidence) for other, one in combinations(range(count), 2)
    ]
    rates = every_two[: count - 1]  # against the base, which comes first
    placed = placements_of(answers)
    return StudyReport(
        study=study,
        generators=answers.generators,
        problem=_problem(study),
        counts=counts,
        rates=rates,
        closed_with=_rates_at_close(study, answers.generators),
        pairwise=every_two if count > 2 else [],
        board=board_of(answers, placed) if count > 2 else None,
        categories=categories_of(answers),
        agreement=agreement_of(answers, placed, between_people=True),
        reward=reward_opinion(answers, placed),
        stop=stop_rule(study, rates, counts),
        answers=answers,
    )


def _rates_at_close(study: Study, generators: list[Generator]) -> list[Rate]:
    if study.state != Study.State.CLOSED:
        return []
    by_id = {generator.pk: generator for generator in generators}
    return [Rate.restored(rate, by_id) for rate in study.rates]


def study_votes(study: Study) -> list[Vote]:
    """Return every vote of the study's accepted answers, by assignment."""
    return sorted(read_answers(study).votes, key=lambda vote: (vote.assignment, vote.first, vote.second))


class VoteRow(NamedTuple):
    """A vote as files have it: 1 for the second generator's image, 0 for the first's, 0.5 for a tie.

    `caption` numbers the prompts: votes on one are dependent. `annotator` is a pseudonym, as in exports.
    """

    caption: int
    text: str
    category: str
    seed: int
    annotator: str
    first: str
    second: str
    vote: float


def vote_rows(study: Study) -> list[VoteRow]:
    """Return every vote of the study's accepted answers, for a file."""
    names = [generator.name for generator in study.compared]
    return [
        VoteRow(
            caption=vote.task.caption,
            text=vote.task.prompt.text,
            category=vote.task.category,
            seed=vote.task.seed,
            annotator=pseudonym(study.project, vote.annotator),
            first=names[vote.first],
            second=names[vote.second],
            vote=vote.vote,
        )
        for vote in study_votes(study)
    ]


def study_pulse(study: Study) -> dict[str, Any]:
    """Return what changes with every change of the study's answers or images, fit for JSON, in three queries.

    Answers that are read again only where it changed need not be read at each look.
    """
    assignments = Assignment.objects.filter(prompt__study_task__study=study)
    counts = {state.value: Count("pk", filter=Q(state=state)) for state in State}
    newest = {field: Max(field) for field in ("submitted_at", "accepted_at", "revised_at")}
    images = Generation.objects.filter(prompt__study_task__study=study, image__isnull=False)
    answers = assignments.aggregate(**counts, **newest)
    return {
        **{name: value.isoformat() if name in newest and value else value for name, value in answers.items()},
        "images": images.count(),
        "withdrawn": study.tasks.exclude(withdrawn="").count(),
    }


def study_progress(study: Study) -> tuple[list[Rate], StudyCounts]:
    """Return the rates against the base and the counts: what the stop rule decides by."""
    answers = read_answers(study)
    confidence = _confidence_of(answers)
    rates = [answers.rate(place, 0, confidence=confidence) for place in range(1, len(answers.generators))]
    return rates, count_assignments(study, answers)


def _confidence_of(answers: Answers) -> float:
    return each_confidence(answers.study.settings.confidence, len(answers.generators))


def _problem(study: Study) -> str:
    if study.state == Study.State.DRAWING and study.run.state == study.run.State.FAILED:
        return f"Its images could not be made: {study.run.failure}"
    return ""
