"""What happens by itself: a promotion starts a tuning, a kept generator makes images."""

import threading

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from annotation.schedule import schedule_task
from refl.loop.queue import start_due
from refl.loop.step import StepRefused
from refl.models import SamplingRun, StepRefusal, TuningPolicy, TuningRun
from refl.services.generators import keep_if_sound, register_tuned
from refl.tasks import look_for_generators, look_for_promotions
from rewardmodel.runs import states
from rewardmodel.services.checkpoints import promote
from tests.refl.test_generators import FALL, RISE


def end(run):
    states.claim(run, now=now())
    states.finish(run, now=now())


def due(step):
    """What the schedule starts of a step at a look, in the one project there is."""
    return next(iter(start_due(step)), None)


@pytest.fixture
def tuning(policy, generator, prompts, promoted):
    return due("tune")


def test_a_promotion_starts_one_tuning(policy, tuning, promoted, generator):
    assert (tuning.checkpoint, tuning.generator, tuning.state) == (promoted, generator, "queued")
    assert tuning.config["updates"] == policy.config["updates"]
    assert due("tune") is None
    end(tuning)
    assert due("tune") is None


def test_the_next_promotion_waits_for_the_tuning_at_work_and_then_starts_the_next(
    policy, tuning, a_promotion
):
    newer = a_promotion()
    assert due("tune") is None
    end(tuning)
    assert due("tune").checkpoint == newer


def test_the_next_tuning_starts_from_the_newest_kept_generator(policy, tuning, a_promotion):
    tuned = register_tuned(run=tuning)
    end(tuning)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    a_promotion()
    assert due("tune").generator == tuned


def test_a_generator_that_was_not_kept_is_not_built_upon(policy, tuning, generator, a_promotion):
    tuned = register_tuned(run=tuning)
    end(tuning)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    a_promotion()
    assert due("tune").generator == generator


def test_the_shipped_reward_model_starts_no_tuning_by_itself(policy, generator, prompts, shipped):
    promote(shipped, now=now())
    assert due("tune") is None


def test_a_policy_that_is_off_starts_nothing(policy, generator, prompts, promoted):
    policy.enabled = False
    policy.save(update_fields=["enabled"])
    assert due("tune") is None
    assert due("sample") is None
    assert not TuningRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_policy_is_switched_off_when_the_look_under_way_is_over(policy, generator, prompts, promoted):
    looking, leave = threading.Event(), threading.Event()

    def look():
        try:
            with transaction.atomic():
                due("tune")
                looking.set()
                leave.wait(timeout=30)
        finally:
            connection.close()

    schedule = threading.Thread(target=look)
    schedule.start()
    assert looking.wait(timeout=30)
    threading.Timer(0.3, leave.set).start()
    TuningPolicy.objects.update(enabled=False)
    end(TuningRun.objects.get())
    TuningRun.objects.all().delete()
    assert due("tune") is None
    schedule.join()


def test_a_promotion_without_prompts_to_judge_by_says_so(policy, generator, promoted):
    refusal = due("tune")
    assert isinstance(refusal, StepRefused)
    assert "needs prompts to tune on" in str(refusal)
    assert StepRefusal.objects.get().reason == str(refusal)


def test_a_kept_generator_makes_images_once(policy, tuning):
    tuned = register_tuned(run=tuning)
    assert due("sample") is None
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    run = due("sample")
    assert (run.generator, run.checkpoint, run.state) == (tuned, tuning.checkpoint, "queued")
    assert run.config["prompts"] == policy.prompts_per_round
    assert len(run.config["pool"]) == policy.prompts_per_round * policy.pool_factor
    end(run)
    assert due("sample") is None


def test_a_generator_that_was_not_kept_makes_none(policy, tuning):
    keep_if_sound(register_tuned(run=tuning), tuned_on=RISE, held_out={"shipped": FALL})
    assert due("sample") is None


def test_a_generator_registered_by_hand_makes_none_by_itself(policy, generator, prompts):
    assert due("sample") is None


def test_a_kept_generator_with_no_prompt_left_waits_for_some(policy, tuning, project):
    keep_if_sound(register_tuned(run=tuning), tuned_on=RISE, held_out={"shipped": RISE})
    project.prompts.all().delete()
    assert due("sample") is None
    assert not SamplingRun.objects.exists()


def test_beat_starts_a_tuning_and_then_images(policy, generator, prompts, promoted):
    look_for_promotions()
    tuning = TuningRun.objects.get()
    look_for_generators()
    assert not SamplingRun.objects.exists()
    keep_if_sound(register_tuned(run=tuning), tuned_on=RISE, held_out={"shipped": RISE})
    look_for_generators()
    assert SamplingRun.objects.get().generator.run == tuning


def test_a_project_that_cannot_tune_is_passed_over(policy, promoted, caplog):
    caplog.set_level("INFO")
    look_for_promotions()
    assert "tune was due and did not start" not in caplog.text
    assert not TuningRun.objects.exists()


def test_beat_looks_for_both(db):
    call_command("schedule", verbosity=0)
    tasks = set(PeriodicTask.objects.values_list("task", flat=True))
    assert {
        "refl.tasks.look_for_preferences",
        "refl.tasks.look_for_promotions",
        "refl.tasks.look_for_generators",
    } <= tasks


def test_an_entry_calls_a_task_that_has_moved_and_stays_off_where_an_admin_switched_it_off(db):
    name = "Train when enough preferences came in"
    schedule_task(name=name, task="rewardmodel.tasks.look_for_preferences", seconds=30)
    PeriodicTask.objects.filter(name=name).update(enabled=False)
    call_command("schedule", verbosity=0)
    entry = PeriodicTask.objects.get(name=name)
    assert (entry.task, entry.enabled) == ("refl.tasks.look_for_preferences", False)
