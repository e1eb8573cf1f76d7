"""Training that starts by itself: when enough rankings came in, and never twice on the same ones."""

import pytest
from django.utils.timezone import now

from annotation.models import Generation
from refl.loop.queue import start_due, start_step
from refl.loop.step import StepRefused
from refl.models import StepRefusal
from refl.tasks import look_for_preferences
from rewardmodel.models import TrainingPolicy, TrainingRun
from rewardmodel.runs import states
from rewardmodel.services.datasets import freeze_dataset
from tests.rewardmodel.conftest import QUICK

State = TrainingRun.State


@pytest.fixture
def policy(project):
    return TrainingPolicy.objects.create(project=project, retrain_after=4, config=QUICK)


def due():
    return next(iter(start_due("train")), None)


def test_enough_new_answers_start_a_run_with_the_policys_configuration(project, encoder, rank, policy):
    rank(13)
    run = due()
    assert (run.state, run.config["epochs"], run.dataset.answers) == (State.QUEUED, 1, 13)
    assert (run.because, run.requested_by) == ("13 rankings since the last training", None)
    assert project.actions.get(kind="run.requested").details == {"because": run.because}


def test_no_second_run_starts_while_one_waits_nor_before_enough_answers_came(project, encoder, rank, policy):
    rank(13)
    run = due()
    rank(4)
    assert due() is None
    states.cancel(run, now=now())
    assert due().dataset.answers == 17
    TrainingRun.objects.all().update(state=State.CANCELLED, finished_at=now())
    rank(3)
    assert due() is None


def test_rankings_that_somebody_froze_by_hand_still_count(project, encoder, rank, policy):
    rank(13)
    dataset = freeze_dataset(project=project)
    assert due().dataset == dataset


def test_answers_without_their_images_start_no_run_on_what_was_trained_on_already(
    project, encoder, rank, policy
):
    rank(13)
    assert due() is not None
    TrainingRun.objects.all().update(state=State.CANCELLED, finished_at=now())
    before = set(Generation.objects.values_list("pk", flat=True))
    rank(4)
    Generation.objects.exclude(pk__in=before).update(image=None)
    assert isinstance(due(), StepRefused)
    assert TrainingRun.objects.count() == 1
    assert "the new ones lack images" in StepRefusal.objects.get().reason


def test_a_policy_that_is_switched_off_starts_nothing(project, encoder, rank, policy):
    rank(13)
    policy.enabled = False
    policy.save()
    assert due() is None


def test_a_refusal_is_noted_until_the_step_can_start(project, encoder, rank, policy):
    rank(4)  # too few for a split of each kind
    assert isinstance(due(), StepRefused)
    assert "more prompts have to be ranked first" in StepRefusal.objects.get().reason
    rank(12)
    assert due().state == State.QUEUED
    assert not StepRefusal.objects.exists()


def test_a_refusal_is_gone_once_the_step_is_started_by_hand_or_due_no_more(project, encoder, rank, policy):
    refusal = {"project": project, "step": "train", "reason": "too few"}
    StepRefusal.objects.create(**refusal)
    rank(16)
    start_step(project, "train")
    assert not StepRefusal.objects.exists()
    StepRefusal.objects.create(**refusal)
    assert due() is None  # it is under way
    assert not StepRefusal.objects.exists()


def test_looking_for_preferences_passes_over_projects_that_cannot_train_yet(project, rank, policy):
    rank(16)  # but no checkpoint is registered
    look_for_preferences()
    assert not TrainingRun.objects.exists()
