"""Endpoints of this app."""

from django.urls import path

from rewardmodel.api import scores, views

urlpatterns = [
    path("scores", scores.scores, name="api-scores"),
    path("projects/<slug:slug>/datasets/", views.datasets, name="api-datasets"),
    path("projects/<slug:slug>/checkpoints/", views.checkpoints, name="api-checkpoints"),
    path("projects/<slug:slug>/training-runs/", views.training_runs, name="api-training-runs"),
    path("projects/<slug:slug>/training-runs/<int:pk>/", views.training_run, name="api-training-run"),
    path("projects/<slug:slug>/evaluations/", views.evaluations, name="api-evaluations"),
    path("projects/<slug:slug>/selections/", views.selection_runs, name="api-selections"),
    path("projects/<slug:slug>/selections/<int:pk>/", views.selection_run, name="api-selection"),
    path("projects/<slug:slug>/selections/<int:pk>/chosen/", views.chosen_prompts, name="api-chosen-prompts"),
]
