"""How well each annotator of a project works."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import Assignment, Membership, Project, User
from annotation.selectors.checks import Agreed, agreement_by_annotator
from annotation.selectors.progress import AnnotatorProgress, annotators_progress

Kind = Assignment.Kind


@dataclass(frozen=True)
class AnnotatorQuality:
    user: User
    progress: AnnotatorProgress
    gold: Agreed
    repeats: Agreed


def annotators_quality(project: Project) -> list[AnnotatorQuality]:
    """The project's annotators by name."""
    agreed = agreement_by_annotator(project)
    done = {person.username: person for person in annotators_progress(project)}
    members = project.memberships.filter(role=Membership.Role.ANNOTATOR).select_related("user")
    return [
        AnnotatorQuality(
            user=member.user,
            progress=done.get(member.user.username, AnnotatorProgress(member.user.username, 0, 0, 0, 0)),
            gold=agreed[member.user_id].get(Kind.GOLD, Agreed()),
            repeats=agreed[member.user_id].get(Kind.REPEAT, Agreed()),
        )
        for member in members.order_by("user__username")
    ]
