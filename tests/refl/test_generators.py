"""Which generators there are, and which of them are kept."""

import pytest

from annotation.models import Event
from annotation.services.webhooks.webhooks import create_webhook
from refl.models import Generator
from refl.selectors.generators import NoGenerator, independent_checkpoint, newest_kept
from refl.services.generators import (
    GENERATOR_KEPT,
    AlreadyJudged,
    BadGenerator,
    keep_if_sound,
    register_generator,
    register_tuned,
    set_control_aside,
)
from refl.services.judging import Change
from refl.services.tuning import queue_tuning

RISE = Change(before=0.1, after=0.5, low=0.2, high=0.6, prompts=50)
NOISE = Change(before=0.1, after=0.0, low=-0.3, high=0.1, prompts=50)
FALL = Change(before=0.5, after=0.1, low=-0.6, high=-0.2, prompts=50)


@pytest.fixture
def tuned(project, generator, prompts, promoted, policy):
    return register_tuned(run=queue_tuning(project=project))


def test_a_pipeline_registered_by_hand_is_kept(project, generator):
    assert generator.kept
    assert newest_kept(project) == generator


def test_a_name_is_used_once(project, generator, pipeline):
    with pytest.raises(BadGenerator, match="has a generator small already"):
        register_generator(project=project, name="small", pipeline=pipeline)


def test_a_folder_without_a_pipeline_is_refused(project, tmp_path):
    with pytest.raises(BadGenerator, match="no model_index"):
        register_generator(project=project, name="empty", pipeline=tmp_path)


def test_a_folder_without_pairs_is_refused(project, pipeline, tmp_path):
    with pytest.raises(BadGenerator, match="no pre-training folder"):
        register_generator(project=project, name="new", pipeline=pipeline, pretraining=tmp_path)
    assert not Generator.objects.exists()


def test_a_hub_id_is_taken_at_its_word(project):
    generator = register_generator(project=project, name="sd", pipeline="CompVis/stable-diffusion-v1-4")
    assert generator.location == "CompVis/stable-diffusion-v1-4"


def test_a_project_without_a_generator_has_no_next_one(project):
    with pytest.raises(NoGenerator):
        newest_kept(project)


def test_a_tuned_generator_is_not_used_before_it_was_judged(project, generator, tuned):
    assert tuned.kept is None
    assert tuned.parent == generator
    assert newest_kept(project) == generator


def test_a_tuning_makes_one_generator_however_often_it_is_resumed(tuned):
    assert register_tuned(run=tuned.run) == tuned


@pytest.mark.parametrize("independent", [RISE, NOISE])
def test_it_is_kept_when_the_independent_reward_did_not_fall(project, tuned, independent):
    assert keep_if_sound(tuned, tuned_on=RISE, independent=independent)
    assert newest_kept(project) == tuned
    assert tuned.metrics["independent"]["difference"] == pytest.approx(independent.difference)


def test_that_it_was_kept_is_told_to_who_asked(project, tuned, ada):
    create_webhook(project=project, url="https://hooks.example.org/", kinds=[GENERATOR_KEPT], by=ada)
    keep_if_sound(tuned, tuned_on=RISE, independent=RISE)
    assert Event.objects.get().data["generator"] == tuned.name


def test_it_is_not_kept_when_the_independent_reward_fell_whatever_its_own_did(project, generator, tuned):
    assert not keep_if_sound(tuned, tuned_on=RISE, independent=FALL)
    assert newest_kept(project) == generator
    assert "fell: -0.4 [-0.6, -0.2] on 50 held-out prompts" in tuned.reason


def test_it_is_not_kept_when_nothing_independent_speaks_for_it(tuned):
    assert not keep_if_sound(tuned, tuned_on=RISE, independent=None)
    assert tuned.metrics == {"tuned_on": RISE.to_dict()}


def test_a_control_is_never_kept(project, generator, tuned):
    set_control_aside(tuned)
    assert tuned.kept is False
    assert newest_kept(project) == generator
    with pytest.raises(AlreadyJudged):
        set_control_aside(tuned)


def test_a_verdict_is_final(tuned):
    keep_if_sound(tuned, tuned_on=RISE, independent=FALL)
    with pytest.raises(AlreadyJudged):
        keep_if_sound(tuned, tuned_on=RISE, independent=RISE)
    tuned.refresh_from_db()
    assert tuned.kept is False


def test_the_shipped_reward_model_judges_what_it_did_not_tune(project, tuned, shipped):
    assert independent_checkpoint(tuned.run) == shipped
    control = tuned.run
    control.checkpoint = shipped
    assert independent_checkpoint(control) is None
