"""Endpoints of this app."""

from django.urls import path

from rewardmodel.api import scores, training

urlpatterns = [
    path("scores", scores.scores, name="api-scores"),
    path("projects/<slug:slug>/datasets/", training.datasets, name="api-datasets"),
    path("projects/<slug:slug>/checkpoints/", training.checkpoints, name="api-checkpoints"),
    path("projects/<slug:slug>/promotion/", training.promotion, name="api-promotion"),
    path("projects/<slug:slug>/training-runs/", training.training_runs, name="api-training-runs"),
    path("projects/<slug:slug>/training-runs/<int:pk>/", training.training_run, name="api-training-run"),
    path(
        "projects/<slug:slug>/training-runs/<int:pk>/curves.<str:form>",
        training.training_run_curves,
        name="api-training-run-curves",
    ),
    path("projects/<slug:slug>/learning-curve/", training.learning_curve, name="api-learning-curve"),
    path("projects/<slug:slug>/evaluations/", training.evaluations, name="api-evaluations"),
    path("projects/<slug:slug>/selections/", training.selection_runs, name="api-selections"),
    path("projects/<slug:slug>/selections/<int:pk>/", training.selection_run, name="api-selection"),
    path(
        "projects/<slug:slug>/selections/<int:pk>/chosen/", training.chosen_prompts, name="api-chosen-prompts"
    ),
]
