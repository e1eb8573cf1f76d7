"""Endpoints of this app."""

from django.urls import URLPattern, URLResolver, path

from annotation.api import answers, assignments, exports, guidelines, images, skips, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("projects/", views.projects, name="api-projects"),
    path("projects/<slug:slug>/progress/", views.progress, name="api-progress"),
    path("projects/<slug:slug>/quality/", views.quality, name="api-quality"),
    path("projects/<slug:slug>/prompts/", views.prompts, name="api-prompts"),
    path("projects/<slug:slug>/images/", images.images, name="api-images"),
    path("projects/<slug:slug>/guideline/", guidelines.guideline, name="api-guideline"),
    path("projects/<slug:slug>/tasks/next/", answers.next_task, name="api-next-task"),
    path("projects/<slug:slug>/tasks/skip/", skips.skip, name="api-skip"),
    path("projects/<slug:slug>/answers/", answers.answers, name="api-answers"),
    path("projects/<slug:slug>/assignments/", assignments.assignments, name="api-assignments"),
    path("projects/<slug:slug>/assignments/<int:pk>/reviews/", assignments.reviews, name="api-reviews"),
    path("images/<uuid:token>/", images.image, name="api-image"),
    path("projects/<slug:slug>/rankings/", exports.rankings, name="api-rankings"),
    path("projects/<slug:slug>/exports/", exports.exports, name="api-exports"),
    path("projects/<slug:slug>/exports/<int:pk>/", exports.export, name="api-export"),
    path("projects/<slug:slug>/exports/<int:pk>/file/", exports.file, name="api-export-file"),
]
