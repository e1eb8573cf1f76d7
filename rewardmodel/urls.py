"""Pages of this app."""

from typing import Any

from django.urls import path

from rewardmodel.views import runs, training

TRAINING: dict[str, Any] = {"kind": runs.TRAINING}

urlpatterns = [
    path("", training.index, name="models"),
    path("<slug:slug>/", training.project_models, name="project-models"),
    path("<slug:slug>/train/", training.train_now, name="train-now"),
    path("<slug:slug>/runs/<int:pk>/", runs.show, TRAINING, name="training-run"),
    path("<slug:slug>/runs/<int:pk>/cancel/", runs.cancel, TRAINING, name="cancel-training-run"),
    path("<slug:slug>/runs/<int:pk>/retry/", runs.retry, TRAINING, name="retry-training-run"),
    path("<slug:slug>/checkpoints/<int:pk>/promote/", training.promote_checkpoint, name="promote-checkpoint"),
]
