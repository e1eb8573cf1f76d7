"""Pages of this app."""

from django.urls import path

from rewardmodel import views

urlpatterns = [
    path("", views.index, name="models"),
    path("<slug:slug>/", views.project_models, name="project-models"),
    path("<slug:slug>/train/", views.train_now, name="train-now"),
    path("<slug:slug>/runs/<int:pk>/", views.training_run, name="training-run"),
    path("<slug:slug>/runs/<int:pk>/cancel/", views.cancel_run, name="cancel-training-run"),
    path("<slug:slug>/runs/<int:pk>/retry/", views.retry_run, name="retry-training-run"),
    path("<slug:slug>/checkpoints/<int:pk>/promote/", views.promote_checkpoint, name="promote-checkpoint"),
]
