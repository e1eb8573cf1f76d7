"""Endpoints of this app."""

from django.urls import URLPattern, URLResolver, path

from annotation.api import (
    agreement,
    answers,
    assignments,
    exports,
    images,
    positions,
    projects,
    quality,
    references,
    work,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("projects/", projects.projects, name="api-projects"),
    path("projects/<slug:slug>/progress/", projects.progress, name="api-progress"),
    path("projects/<slug:slug>/quality/", quality.quality, name="api-quality"),
    path("projects/<slug:slug>/pauses/", quality.pauses, name="api-pauses"),
    path("projects/<slug:slug>/pauses/<int:pk>/", quality.lift_pause, name="api-pause"),
    path("projects/<slug:slug>/qualifications/", quality.qualifications, name="api-qualifications"),
    path("projects/<slug:slug>/references/", references.references, name="api-references"),
    path("projects/<slug:slug>/references/<int:pk>/", references.retire, name="api-reference"),
    path("projects/<slug:slug>/agreement/", agreement.agreement, name="api-agreement"),
    path("projects/<slug:slug>/leaderboard/", agreement.leaderboard, name="api-leaderboard"),
    path("projects/<slug:slug>/positions/", positions.positions, name="api-positions"),
    path("projects/<slug:slug>/prompts/", projects.prompts, name="api-prompts"),
    path("projects/<slug:slug>/images/", images.images, name="api-images"),
    path("projects/<slug:slug>/guideline/", projects.guideline, name="api-guideline"),
    path("projects/<slug:slug>/tasks/next/", work.next_task, name="api-next-task"),
    path("projects/<slug:slug>/tasks/skip/", work.skip, name="api-skip"),
    path("projects/<slug:slug>/answers/", answers.answers, name="api-answers"),
    path("projects/<slug:slug>/assignments/", assignments.assignments, name="api-assignments"),
    path("projects/<slug:slug>/assignments/<int:pk>/reviews/", assignments.reviews, name="api-reviews"),
    path("images/<uuid:token>/", images.image, name="api-image"),
    path("projects/<slug:slug>/rankings/", exports.rankings, name="api-rankings"),
    path("projects/<slug:slug>/exports/", exports.exports, name="api-exports"),
    path("projects/<slug:slug>/exports/<int:pk>/", exports.export, name="api-export"),
    path("projects/<slug:slug>/exports/<int:pk>/file/", exports.file, name="api-export-file"),
]
