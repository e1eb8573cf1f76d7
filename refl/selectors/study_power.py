"""What a study would take, before it is opened: opinions, people's hours, and what it can tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotation.models import Project
from annotation.selectors.results.pace import project_pace
from annotation.statistics.sequential import Power, power_at
from annotation.statistics.win_rates import each_confidence
from refl.models import Study, StudyConfig

RATES = (0.55, 0.6, 0.65, 0.7)  # shares of votes for the better of two; ours


@dataclass(frozen=True)
class PowerRow:
    """A difference between generators, and what it takes to find it; ties come on top.

    Attributes:
        opinions: answers until half of such studies are decided.
        hours: people's time for those; None in a project without answers.
    """

    power: Power
    opinions: int
    hours: float | None


@dataclass(frozen=True)
class StudyPlan:
    """What a study as configured asks for.

    Attributes:
        shown: images of a task.
        opinions: all that it asks for.
        hours, days: people's time for them, and how long that takes at the project's pace; None where the
            project has no answers to go by, or none of late.
        rows: one for each of `RATES`.
    """

    shown: int
    opinions: int
    hours: float | None
    days: float | None
    rows: list[PowerRow]


def plan_study(project: Project, config: StudyConfig, *, generators: int, now: datetime) -> StudyPlan:
    """Return what a study of so many generators, 2 or more, would take.

    A prompt is one observation of the win rate, however many opinions it gets.
    """
    is_pairs = config.design == Study.Design.PAIRS
    shown = 2 if is_pairs else generators
    tasks = generators * (generators - 1) // 2 if is_pairs else 1
    each = tasks * config.images_per_caption * config.opinions  # opinions on a prompt
    pace = project_pace(project, now=now)
    hours = pace.seconds_an_image and pace.seconds_an_image * shown / 3600  # of an opinion
    confidence = each_confidence(config.confidence, generators)
    rows = []
    for rate in RATES:
        power = power_at(rate, confidence=confidence, votes=config.captions)
        rows.append(PowerRow(power, power.median * each, hours and hours * power.median * each))
    opinions = config.captions * each
    return StudyPlan(
        shown=shown,
        opinions=opinions,
        hours=hours and hours * opinions,
        days=opinions / pace.answers_a_day if pace.answers_a_day else None,
        rows=rows,
    )
