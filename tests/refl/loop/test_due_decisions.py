"""A reward model that waits is measured again by itself: when as many test pairs came in as it waits for."""

import pytest

from refl.loop.facts import read_facts
from refl.loop.queue import start_due
from refl.loop.step import State
from refl.loop.steps import STEPS
from rewardmodel.models import DatasetVersion, TrainingPolicy
from rewardmodel.services.datasets import freeze_dataset
from rewardmodel.services.promotions import decide
from rewardmodel.services.splits import Shares
from tests.cast import NOW


@pytest.fixture
def waiting(project, a_model, rank):
    """A model measured on the test pairs of 8 rankings; it waits for half as many again."""
    decide(a_model(0.1, 0.99), now=NOW)
    rank(8)
    dataset = freeze_dataset(project=project, shares=Shares(train=0.3, validation=0.2, test=0.5))
    model = a_model(0.09, 0.9, pairs=dataset.counts["test"]["pairs"], prompts=29)
    model.run.dataset = dataset
    model.run.save()
    model.metrics["dataset"] = dataset.hash
    decide(model, now=NOW)
    model.decision["waits_for_rankings"] = 12
    model.save()
    return model


def status(project):
    return STEPS["promote"].read(read_facts([project])[project.pk])


def test_the_two_are_measured_on_what_is_finished_then_and_split_as_it_learned(project, waiting, rank):
    TrainingPolicy.objects.create(project=project)
    assert list(start_due("promote")) == []
    assert status(project).missing == (f"4 more rankings, to decide about {waiting}",)
    rank(4)
    assert status(project).state == State.READY
    [run] = start_due("promote")
    assert run.config["checkpoints"][1] == waiting.name
    assert "as many test pairs" in run.because
    dataset = DatasetVersion.objects.get(hash=run.config["datasets"][0])
    assert (dataset.answers, dataset.shares) == (12, waiting.run.dataset.shares)
    assert list(start_due("promote")) == []  # it is under way


def test_where_runs_start_by_hand_it_is_measured_by_hand(project, waiting, rank):
    TrainingPolicy.objects.create(project=project, enabled=False)
    rank(4)
    assert list(start_due("promote")) == []
    assert status(project).state == State.OFF
    assert waiting.name in STEPS["promote"].start(project).sentence
