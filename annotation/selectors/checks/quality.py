"""Quality figures of each annotator of a project."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Aggregate, FloatField

from annotation.access import Do, members_who
from annotation.models import Assignment, Pause, Project, Qualification, User
from annotation.selectors.assignments import skips_by_annotator
from annotation.selectors.checks.checks import Agreed, agreement_by_annotator
from annotation.selectors.checks.conduct import PLACE_LEVEL, place_tests, seconds_an_image
from annotation.selectors.results.progress import AnnotatorProgress, annotators_progress
from annotation.statistics.places import PlaceTest

Kind = Assignment.Kind


class Median(Aggregate):
    """The SQL median."""

    template = "percentile_cont(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True)
class AnnotatorQuality:
    """`seconds` per image is the median, None without answers; `places` tests where best images stood."""

    user: User
    progress: AnnotatorProgress
    skipped: int
    gold: Agreed
    repeats: Agreed
    seconds: float | None
    places: PlaceTest
    pause: Pause | None
    qualification: Qualification | None

    @property
    def prefers_a_place(self) -> bool:
        return self.places.p is not None and self.places.p < PLACE_LEVEL


def annotators_quality(project: Project) -> list[AnnotatorQuality]:
    """Return the project's annotators by name, in eight queries."""
    agreed = agreement_by_annotator(project)
    progress = {person.username: person for person in annotators_progress(project)}
    pauses = {pause.user_id: pause for pause in Pause.objects.in_force().filter(project=project)}
    decided = project.qualifications.order_by("user", "-pk").distinct("user")
    qualifications = {qualification.user_id: qualification for qualification in decided}
    pace, places, skipped = _pace(project), place_tests(project), skips_by_annotator(project)
    members = members_who(project, Do.ANNOTATE).select_related("user")
    return [
        AnnotatorQuality(
            user=member.user,
            progress=progress.get(member.user.username, AnnotatorProgress(member.user.username, 0, 0, 0, 0)),
            skipped=skipped.get(member.user_id, 0),
            gold=agreed[member.user_id].get(Kind.GOLD, Agreed()),
            repeats=agreed[member.user_id].get(Kind.REPEAT, Agreed()),
            seconds=pace.get(member.user_id),
            places=places[member.user_id],
            pause=pauses.get(member.user_id),
            qualification=qualifications.get(member.user_id),
        )
        for member in members.order_by("user__username")
    ]


def _pace(project: Project) -> dict[int, float]:
    """Return annotator id -> median seconds per image."""
    answers = Assignment.objects.work().filter(
        project=project, submitted_at__isnull=False, claimed_at__isnull=False
    )
    return dict(seconds_an_image(answers).order_by().values_list("annotator").annotate(median=Median("each")))
