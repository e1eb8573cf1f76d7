"""Pages of this app: those about models, and those that stand among a project's own."""

from typing import Any

from django.urls import path

from rewardmodel.runs import views as runs
from rewardmodel.views import checkpoints, evaluations, selections, training, try_model

TRAINING: dict[str, Any] = {"kind": runs.TRAINING}
EVALUATION: dict[str, Any] = {"kind": evaluations.EVALUATION}
SELECTION: dict[str, Any] = {"kind": selections.SELECTION}

urlpatterns = [
    path("", training.index, name="models"),
    path("<slug:slug>/", training.project_models, name="project-models"),
    path("<slug:slug>/train/", training.train_now, name="train-now"),
    path("<slug:slug>/learning-curve/", training.measure_learning_curve, name="measure-learning-curve"),
    path("<slug:slug>/promotion/", training.change_promotion_rule, name="change-promotion-rule"),
    path(
        "<slug:slug>/checkpoints/<int:pk>/measure/",
        training.measure_waiting,
        name="measure-waiting-checkpoint",
    ),
    path("<slug:slug>/runs/<int:pk>/", runs.show, TRAINING, name="training-run"),
    path(
        "<slug:slug>/runs/<int:pk>/curves.<str:form>",
        runs.download_curves,
        TRAINING,
        name="curves-of-training-run",
    ),
    path("<slug:slug>/runs/<int:pk>/cancel/", runs.cancel, TRAINING, name="cancel-training-run"),
    path("<slug:slug>/runs/<int:pk>/retry/", runs.retry, TRAINING, name="retry-training-run"),
    path("<slug:slug>/evaluations/", evaluations.evaluations, name="evaluations"),
    path("<slug:slug>/evaluations/table.csv", evaluations.evaluations_table, name="evaluations-table"),
    path("<slug:slug>/evaluations/new/", evaluations.evaluate_now, name="evaluate-now"),
    path("<slug:slug>/evaluations/<int:pk>/", evaluations.evaluation, name="evaluation"),
    path("<slug:slug>/evaluation-runs/<int:pk>/", runs.show, EVALUATION, name="evaluation-run"),
    path(
        "<slug:slug>/evaluation-runs/<int:pk>/cancel/", runs.cancel, EVALUATION, name="cancel-evaluation-run"
    ),
    path("<slug:slug>/evaluation-runs/<int:pk>/retry/", runs.retry, EVALUATION, name="retry-evaluation-run"),
    path("<slug:slug>/checkpoints/<int:pk>/", checkpoints.checkpoint, name="checkpoint"),
    path("<slug:slug>/checkpoints/<int:pk>/promote/", training.promote_checkpoint, name="promote-checkpoint"),
]

score_urls = [path("", try_model.try_model, name="try-model")]

selection_urls = [
    path("", selections.selections, name="selections"),
    path("new/", selections.select_now, name="select-now"),
    path("<int:pk>/", runs.show, SELECTION, name="selection-run"),
    path("<int:pk>/cancel/", runs.cancel, SELECTION, name="cancel-selection-run"),
    path("<int:pk>/retry/", runs.retry, SELECTION, name="retry-selection-run"),
    path("<int:pk>/discard/", selections.discard, name="discard-selection"),
    path("<int:pk>/points.json", selections.points, name="selection-points"),
    path("<int:pk>/chosen.jsonl", selections.download, name="selection-download"),
]
