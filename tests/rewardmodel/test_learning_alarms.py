"""A training that learns nothing says so: on its page, in its log, and once to who has a webhook."""

import logging
from types import SimpleNamespace

import pytest
from django.urls import reverse

from annotation.models import Event
from annotation.services.webhooks.webhooks import create_webhook
from rewardmodel.models import TrainingRun
from rewardmodel.runs import states
from rewardmodel.services.learning_alarms import RUN_ALARM, LearningWatch
from rewardmodel.services.training import queue_training
from tests.cast import NOW


@pytest.fixture
def run(project, encoder, rank, ada):
    """A run at work, of which a webhook tells."""
    rank(16)
    create_webhook(project=project, url="https://hooks.example.org/", kinds=[RUN_ALARM], by=ada)
    run = queue_training(project=project)
    run.project.refresh_from_db()
    states.claim(run, now=NOW)
    return run


def train(run, *, accuracy, begin=1, end=40):
    """Steps whose loss falls, the last one validated."""
    watch = LearningWatch(run)
    for step in range(begin, end + 1):
        validated = accuracy if step == end else None
        progress = SimpleNamespace(step=step, steps=90, loss=0.7 - step / 200, validation_accuracy=validated)
        watch.look(progress)
        values = {"loss": progress.loss} | ({"validation_accuracy": validated} if validated else {})
        states.record_progress(run, now=NOW, step=step, steps=90, points={step: values}, peak_memory=None)
    return TrainingRun.objects.get(pk=run.pk)


def test_the_alarm_is_on_the_page_in_the_log_and_announced_once(run, client, ada, caplog):
    with caplog.at_level(logging.WARNING):
        row = train(run, accuracy=0.5)
    assert "Alarm at step 40: no validation was better than chance" in caplog.text
    train(run, accuracy=0.4, begin=41, end=50)
    event = Event.objects.get()
    assert (event.kind, event.data["run"], event.data["step"]) == ("run.alarm", run.pk, 40)
    client.force_login(ada)
    page = client.get(reverse(row.page, args=[row.project.slug, row.pk])).text
    assert "It learns nothing so far:" in page
    assert "no validation was better than chance" in page


def test_a_run_that_learns_after_all_takes_it_back(run, client, ada):
    train(run, accuracy=0.5)
    row = train(run, accuracy=1.0, begin=41, end=80)
    assert (row.alarm, row.report["alarm"]) == ("", "")
    client.force_login(ada)
    assert "learns nothing" not in client.get(reverse(row.page, args=[row.project.slug, row.pk])).text


def test_a_resumed_run_knows_what_was_measured_before(run):
    train(run, accuracy=1.0)
    run.refresh_from_db()
    assert train(run, accuracy=0.5, begin=41, end=50).alarm == ""  # its best one counts
