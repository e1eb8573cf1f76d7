"""How quickly a project's people answer, to say beforehand how long more answers take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotation.models import Assignment, Project
from annotation.selectors.checks.conduct import seconds_an_image
from annotation.selectors.checks.quality import Median
from annotation.selectors.results.progress import answers_a_day


@dataclass(frozen=True)
class Pace:
    """Answers of all people a day, of late, and the median seconds of an image; None without answers."""

    answers_a_day: float
    seconds_an_image: float | None


def project_pace(project: Project, *, now: datetime) -> Pace:
    """Return the pace of the project's people, in two queries; studies count as other work does."""
    answers = Assignment.objects.work().filter(
        project=project, submitted_at__isnull=False, claimed_at__isnull=False
    )
    median = seconds_an_image(answers).order_by().aggregate(median=Median("each"))["median"]
    return Pace(answers_a_day(answers, now), median)
