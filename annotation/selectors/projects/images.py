"""Image files that a user may fetch, and harmful images, which are hidden by default."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from annotation.access import Do, projects_where
from annotation.models import Generation, Image, Project, Rating, User
from annotation.models.judgements import HARMFUL


def visible_image(user: User, token: UUID) -> Image | None:
    """Return the image if a project that the user is a member of shows it, or None."""
    projects = projects_where(user, Do.SEE)
    return Image.objects.filter(token=token, generations__prompt__project__in=projects).first()


def judged_images() -> QuerySet[Generation]:
    """Return images with their files and `is_harmful`: flagged at import, or by an annotator's rating.

    For admins only. Annotators see only the flag from the import, because ratings are others' answers.
    """
    harmful = Rating.objects.filter(generation=OuterRef("pk"), problems__overlap=list(HARMFUL))
    return Generation.objects.select_related("image").annotate(
        is_harmful=Q(is_flagged=True) | Exists(harmful)
    )


def most_used_model(project: Project) -> str:
    """Return the name of the reward model that scored most of the project's images, or "" for none."""
    scored = Generation.objects.collected().filter(prompt__project=project, score__isnull=False).order_by()
    models = scored.values_list("scored_by").annotate(images=Count("pk")).order_by("-images", "scored_by")
    return next((name for name, _ in models[:1]), "")
