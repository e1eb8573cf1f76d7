"""What happens by itself: a promotion starts a tuning, a kept generator makes images."""

import random
import threading

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from refl.models import SamplingRun, TuningPolicy, TuningRun
from refl.services.generators import keep_if_sound, register_tuned
from refl.services.sampling import CannotSample, queue_due_sampling
from refl.services.tuning import CannotTune, queue_due_tuning
from refl.tasks import look_for_generators, look_for_promotions
from rewardmodel.runs import states
from rewardmodel.services.checkpoints import promote
from tests.refl.test_generators import FALL, RISE


def end(run):
    states.claim(run, now=now())
    states.finish(run, now=now())


@pytest.fixture
def tuning(policy, generator, prompts, promoted):
    return queue_due_tuning(policy)


def test_a_promotion_starts_one_tuning(policy, tuning, promoted, generator):
    assert (tuning.checkpoint, tuning.generator, tuning.state) == (promoted, generator, "queued")
    assert tuning.config["updates"] == policy.config["updates"]
    assert queue_due_tuning(policy) is None
    end(tuning)
    assert queue_due_tuning(policy) is None


def test_the_next_promotion_waits_for_the_tuning_at_work_and_then_starts_the_next(
    policy, tuning, a_promotion
):
    newer = a_promotion()
    assert queue_due_tuning(policy) is None
    end(tuning)
    assert queue_due_tuning(policy).checkpoint == newer


def test_the_next_tuning_starts_from_the_newest_kept_generator(policy, tuning, a_promotion):
    tuned = register_tuned(run=tuning)
    end(tuning)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    a_promotion()
    assert queue_due_tuning(policy).generator == tuned


def test_a_generator_that_was_not_kept_is_not_built_upon(policy, tuning, generator, a_promotion):
    tuned = register_tuned(run=tuning)
    end(tuning)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    a_promotion()
    assert queue_due_tuning(policy).generator == generator


def test_the_shipped_reward_model_starts_no_tuning_by_itself(policy, generator, prompts, shipped):
    promote(shipped, now=now())
    assert queue_due_tuning(policy) is None


def test_a_policy_that_is_off_starts_nothing(policy, generator, prompts, promoted):
    policy.enabled = False
    policy.save(update_fields=["enabled"])
    assert queue_due_tuning(policy) is None
    assert queue_due_sampling(policy, rng=random.Random(0)) is None
    assert not TuningRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_policy_is_switched_off_when_the_look_under_way_is_over(policy, generator, prompts, promoted):
    looking, leave = threading.Event(), threading.Event()

    def look():
        try:
            with transaction.atomic():
                queue_due_tuning(policy)
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
    assert queue_due_tuning(policy) is None
    schedule.join()


def test_a_promotion_without_prompts_to_judge_by_says_so(policy, generator, promoted):
    with pytest.raises(CannotTune, match="prompts"):
        queue_due_tuning(policy)


def test_a_kept_generator_makes_images_once(policy, tuning):
    tuned = register_tuned(run=tuning)
    assert queue_due_sampling(policy, rng=random.Random(0)) is None
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    run = queue_due_sampling(policy, rng=random.Random(0))
    assert (run.generator, run.checkpoint, run.state) == (tuned, tuning.checkpoint, "queued")
    assert run.config["prompts"] == policy.prompts_per_round
    assert len(run.config["pool"]) == policy.prompts_per_round * policy.pool_factor
    end(run)
    assert queue_due_sampling(policy, rng=random.Random(0)) is None


def test_a_generator_that_was_not_kept_makes_none(policy, tuning):
    keep_if_sound(register_tuned(run=tuning), tuned_on=RISE, held_out={"shipped": FALL})
    assert queue_due_sampling(policy, rng=random.Random(0)) is None


def test_a_generator_registered_by_hand_makes_none_by_itself(policy, generator, prompts):
    assert queue_due_sampling(policy, rng=random.Random(0)) is None


def test_a_kept_generator_with_no_prompt_left_says_so(policy, tuning, project):
    keep_if_sound(register_tuned(run=tuning), tuned_on=RISE, held_out={"shipped": RISE})
    project.prompts.all().delete()
    with pytest.raises(CannotSample, match="no prompt"):
        queue_due_sampling(policy, rng=random.Random(0))
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
    assert "no generator is kept" in caplog.text
    assert not TuningRun.objects.exists()


def test_beat_looks_for_both(db):
    call_command("schedule", verbosity=0)
    tasks = set(PeriodicTask.objects.values_list("task", flat=True))
    assert {"refl.tasks.look_for_promotions", "refl.tasks.look_for_generators"} <= tasks
