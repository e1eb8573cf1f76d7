"""References of a project with the agreement on each, and the answers that could become references."""

from __future__ import annotations

from django.db.models import Count, QuerySet, Sum

from annotation.access import Do, people_who
from annotation.models import Assignment, Project, Reference


def references_of(project: Project) -> QuerySet[Reference]:
    """Return all references, those in use first, annotated with `answers`, `agreed` and `pairs`."""
    compared = "answer__checks__check_result"
    return (
        Reference.objects.filter(prompt__project=project)
        .select_related("prompt", "answer__annotator")
        .annotate(answers=Count(compared), agreed=Sum(f"{compared}__agreed"), pairs=Sum(f"{compared}__pairs"))
        .order_by("retired_at", "-pk")
    )


def trusted_answers(project: Project) -> QuerySet[Assignment]:
    """Return finished answers of researchers, inspectors and admins on prompts without a reference."""
    kinds = (Assignment.Kind.ORDINARY, Assignment.Kind.REFERENCE)
    return (
        Assignment.objects.filter(project=project, state=Assignment.State.ACCEPTED, kind__in=kinds)
        .filter(annotator__in=people_who(project, Do.GIVE_REFERENCES), prompt__reference=None)
        .select_related("prompt", "annotator")
        .order_by("-submitted_at")
    )
