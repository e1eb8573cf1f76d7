"""Endpoints of this app."""

from django.urls import URLPattern, URLResolver, path

from annotation.api import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("projects/", views.projects, name="api-projects"),
    path("projects/<slug:slug>/progress/", views.progress, name="api-progress"),
    path("projects/<slug:slug>/prompts/", views.prompts, name="api-prompts"),
    path("projects/<slug:slug>/rankings/", views.rankings, name="api-rankings"),
]
