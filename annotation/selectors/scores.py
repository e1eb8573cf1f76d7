"""Scores beside images: whose they are."""

from __future__ import annotations

from django.db.models import Count

from annotation.models import Generation, Project


def most_used_model(project: Project) -> str:
    """The reward model that scored most of the project's images; "" where none is scored."""
    scored = Generation.objects.filter(prompt__project=project, score__isnull=False).order_by()
    named = scored.values_list("scored_by").annotate(images=Count("pk")).order_by("-images", "scored_by")
    return next((name for name, _ in named[:1]), "")
