"""Which generators there are, and which of them are kept."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from safetensors.numpy import save_file

from annotation.models import Event
from annotation.services.webhooks.webhooks import create_webhook
from annotation.statistics.notation import MINUS
from refl.learning.outcomes import Outcome
from refl.models import Generator
from refl.selectors.generators import NoGenerator, newest_kept
from refl.selectors.rewards import held_out_rewards
from refl.services.generators import (
    GENERATOR_KEPT,
    AlreadyJudged,
    BadGenerator,
    keep_if_sound,
    mark_seen,
    register_generator,
    register_tuned,
    set_control_aside,
    set_unimproved_aside,
)
from refl.services.judging import Change
from refl.services.tuning import queue_tuning

RISE = Change(before=0.1, after=0.5, low=0.2, high=0.6, prompts=50, deviation=0.5)
NOISE = Change(before=0.1, after=0.0, low=-0.3, high=0.1, prompts=50, deviation=0.5)
FALL = Change(before=0.5, after=0.1, low=-0.6, high=-0.2, prompts=50, deviation=0.5)
SMALL = replace(FALL, after=0.4, low=-0.16, high=-0.04)  # its interval begins within a tenth of the deviation


@pytest.fixture
def tuned(project, generator, prompts, promoted, policy):
    return register_tuned(run=queue_tuning(project=project))


def test_a_pipeline_registered_by_hand_is_kept(project, generator):
    assert generator.kept
    assert newest_kept(project) == generator


def test_a_name_is_used_once(project, generator, pipeline):
    with pytest.raises(BadGenerator, match="has a generator small already"):
        register_generator(project=project, name="small", pipeline=pipeline)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": " "}, "a generator's name is 1 to 100 printable characters, not ' '"),
        ({"name": "n" * 101}, "a generator's name is 1 to 100"),
        ({"name": "a\nb"}, "a generator's name is 1 to 100"),
        ({"pipeline": "p" * 300}, "File name too long"),
        ({"pipeline": "p/" * 300}, "a place is at most 500"),
        ({"pretraining": "p" * 300}, "File name too long"),
        ({"lora": "l\udcff"}, "a place is at most 500 printable"),
        ({"steps": 10**6}, "a sample takes 1 to 1,000 steps"),
        ({"guidance_scale": float("nan")}, "at guidance 1 or more"),
        ({"guidance_scale": float("inf")}, "at guidance 1 or more"),
    ],
)
def test_what_no_row_can_hold_is_refused(project, pipeline, fields, words):
    with pytest.raises(BadGenerator, match=words):
        register_generator(**{"project": project, "name": "new", "pipeline": pipeline, **fields})


@pytest.mark.parametrize("shape", [[2], "ab", None])
def test_a_lora_whose_tensor_is_no_matrix_is_refused(project, pipeline, tmp_path, shape):
    header = json.dumps({"a.lora_A.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}})
    file = tmp_path / "lora.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(8))
    with pytest.raises(BadGenerator, match=r"lora.safetensors: a: a LoRA's tensor is a matrix"):
        register_generator(project=project, name="new", pipeline=pipeline, lora=file)


def test_a_folder_without_a_pipeline_is_refused(project, tmp_path):
    with pytest.raises(BadGenerator, match="no model_index"):
        register_generator(project=project, name="empty", pipeline=tmp_path)


def test_a_folder_without_pairs_is_refused(project, pipeline, tmp_path):
    with pytest.raises(BadGenerator, match="no pre-training folder"):
        register_generator(project=project, name="new", pipeline=pipeline, pretraining=tmp_path)
    assert not Generator.objects.exists()


@pytest.mark.parametrize("hub_id", ["CompVis/stable-diffusion-v1-4", "somebody/sd-1.5@fp16"])
def test_a_hub_id_that_cannot_be_looked_up_is_not_yet_seen_and_not_the_next_one(project, pipeline, hub_id):
    unseen = register_generator(project=project, name="sd", pipeline=hub_id)
    assert (unseen.location, unseen.kept, unseen.is_seen) == (hub_id, True, False)
    with pytest.raises(NoGenerator, match="sd is not seen yet; name it in a run, which loads it"):
        newest_kept(project)
    seen = register_generator(project=project, name="small", pipeline=pipeline)
    again = register_generator(project=project, name="sd again", pipeline=hub_id)
    assert seen.is_seen
    assert newest_kept(project) == seen

    mark_seen(again)
    assert newest_kept(project) == again


def test_what_was_fetched_from_the_hub_before_is_looked_at_without_it(project, hub_cache):
    generator = register_generator(project=project, name="sd", pipeline="somebody/sd")
    assert generator.is_seen
    assert generator.pipeline == f"somebody/sd@{hub_cache.name}"


def test_what_lies_in_the_cache_and_cannot_be_loaded_is_refused(project, hub_cache):
    (hub_cache / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(BadGenerator, match=r"somebody/sd: tokenizer/vocab\.json: it is missing"):
        register_generator(project=project, name="sd", pipeline="somebody/sd")


@pytest.mark.parametrize(
    ("pipeline", "line"),
    [
        ("/models/sd15", "/models/sd15: no such folder, and a hub id is owner/name"),
        ("./models/sd15", "no such folder"),
        ("models/sd15/v2", "no such folder"),
        ("models", "no such folder"),
        ("models/sd15.safetensors", "a single file is not read; make a folder of it once"),
        ("somebody/sd15.ckpt", "a single file is not read"),
        ("demo/weightz", "no such folder in .*/demo; if it is a hub id, write demo/weightz@main"),
        ("demo", "no model_index.json in it"),
    ],
)
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(project, pipeline, line):
    with pytest.raises(BadGenerator, match=line):
        register_generator(project=project, name="new", pipeline=pipeline)
    assert not Generator.objects.exists()


@pytest.mark.parametrize(
    ("file", "fields", "line"),
    [
        ("model_index.json", {"_class_name": "PixArtAlphaPipeline"}, "PixArtAlphaPipeline is of no family"),
        ("unet/config.json", {"in_channels": 9}, "an inpainting UNet"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "prediction_type is 'sample'"),
    ],
)
def test_a_pipeline_that_cannot_be_tuned_is_refused_in_one_line(
    project, pipeline, tmp_path, file, fields, line
):
    folder = shutil.copytree(pipeline, tmp_path / "spoilt")
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | fields))
    with pytest.raises(BadGenerator, match=f"^{folder}: {file}: .*{line}"):
        register_generator(project=project, name="new", pipeline=folder)


def test_the_command_says_what_it_registered(project, pipeline, capsys):
    call_command("register_generator", project.slug, "small", str(pipeline))
    said = capsys.readouterr().out
    assert said == "small is registered: StableDiffusionPipeline, DDIMScheduler, epsilon, 4 channels\n"
    call_command("register_generator", project.slug, "sd", "somebody/sd15")
    assert "sd is registered: not yet seen, since the hub could not be asked" in capsys.readouterr().out


def test_the_command_looks_at_every_tensor(project, pipeline, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(pipeline, tmp_path / "spoilt")
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    tensors.pop("final_layer_norm.bias")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(CommandError, match=r"text_encoder: model\.safetensors lacks final_layer_norm\.bias"):
        call_command("register_generator", project.slug, "small", str(folder))
    assert not Generator.objects.exists()


LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def save_lora(file, layer, inputs):
    down, up = np.ones((2, inputs)), np.ones((16, 2))
    save_file({f"unet.{layer}.lora_A.weight": down, f"unet.{layer}.lora_B.weight": up}, file)


def test_a_pipeline_is_registered_with_a_lora(project, pipeline, tmp_path, capsys):
    save_lora(tmp_path / "lora.safetensors", LAYER, 16)
    words = [project.slug, "new", str(pipeline), "--lora", str(tmp_path / "lora.safetensors")]
    call_command("register_generator", *words)
    generator = Generator.objects.get()
    assert (generator.location, generator.loras) == (str(pipeline), [tmp_path / "lora.safetensors"])
    assert "with lora.safetensors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [(LAYER, 77, "has 77 inputs"), ("mid.to_q", 16, "is no layer of"), (None, 0, "no such file")],
)
def test_a_lora_that_does_not_fit_is_refused(project, pipeline, tmp_path, layer, inputs, words):
    file = tmp_path / "lora.safetensors"
    if layer is not None:
        save_lora(file, layer, inputs)
    with pytest.raises(BadGenerator, match=rf"lora\.safetensors: .*{words}"):
        register_generator(project=project, name="new", pipeline=pipeline, lora=file)
    assert not Generator.objects.exists()


def test_a_project_without_a_generator_has_no_next_one(project):
    with pytest.raises(NoGenerator):
        newest_kept(project)


def test_a_tuned_generator_is_not_used_before_it_was_judged(project, generator, tuned):
    assert tuned.kept is None
    assert tuned.parent == generator
    assert newest_kept(project) == generator


def test_a_tuning_makes_one_generator_however_often_it_is_resumed(tuned):
    assert register_tuned(run=tuned.run) == tuned


@pytest.mark.parametrize("independent", [RISE, NOISE, SMALL])
def test_it_is_kept_when_the_independent_reward_fell_by_nothing_that_counts(project, tuned, independent):
    assert keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE, "artifacts": independent})
    assert newest_kept(project) == tuned
    assert tuned.metrics["held_out"]["artifacts"]["difference"] == pytest.approx(independent.difference)


def test_that_it_was_kept_is_told_to_who_asked(project, tuned, ada):
    create_webhook(project=project, url="https://hooks.example.org/", kinds=[GENERATOR_KEPT], by=ada)
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    assert Event.objects.get().data["generator"] == tuned.name


def test_it_is_not_kept_when_the_independent_reward_fell_whatever_its_own_did(project, generator, tuned):
    assert not keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    assert newest_kept(project) == generator
    fell = f"shipped fell: {MINUS}0.400 ({MINUS}0.600 to {MINUS}0.200)"
    assert f"on 50 held-out prompts: {fell}" in tuned.reason


def test_what_its_parents_lost_is_taken_off_what_it_may_lose(tuned):
    small = replace(FALL, after=0.47, low=-0.04, high=-0.02)  # .06 of the deviation
    assert keep_if_sound(tuned, tuned_on=RISE, held_out={"artifacts": small})
    assert tuned.metrics["lost"] == pytest.approx(0.06)
    assert f"artifacts fell by less than counts: {MINUS}0.030 ({MINUS}0.040 to {MINUS}0.020)" in tuned.reason
    child = Generator.objects.create(
        project=tuned.project, name="child", pipeline=tuned.pipeline, parent=tuned, steps=tuned.steps
    )
    assert not keep_if_sound(child, tuned_on=RISE, held_out={"artifacts": replace(small, high=-0.021)})
    assert f"artifacts fell: {MINUS}0.030" in child.reason


def test_it_is_not_kept_when_nothing_independent_speaks_for_it(tuned):
    assert not keep_if_sound(tuned, tuned_on=RISE, held_out={})
    assert tuned.metrics == {"tuned_on": RISE.to_dict()}


def test_it_is_not_kept_when_any_of_its_held_out_rewards_fell(project, generator, tuned):
    assert not keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE, "artifacts": FALL})
    assert (
        "shipped did not fall: +0.400 (+0.200 to +0.600); "
        f"artifacts fell: {MINUS}0.400 ({MINUS}0.600 to {MINUS}0.200)"
    ) in tuned.reason
    assert newest_kept(project) == generator


def test_it_is_not_kept_when_no_update_was_better_than_what_it_started_from(project, generator, tuned):
    stopped = Outcome(
        40, 0, "", None, {}, {}, {}, 9.0, choice="held-out reward shipped fell in each of 4 looks"
    )
    set_unimproved_aside(tuned, guards=stopped)
    assert newest_kept(project) == generator
    assert tuned.reason == (
        "The guards kept the untuned generator: held-out reward shipped fell in each of 4 looks."
    )
    with pytest.raises(AlreadyJudged):
        keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})


def test_a_control_is_never_kept(project, generator, tuned):
    set_control_aside(tuned)
    assert tuned.kept is False
    assert newest_kept(project) == generator
    with pytest.raises(AlreadyJudged):
        set_control_aside(tuned)


def test_a_verdict_is_final(tuned):
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    with pytest.raises(AlreadyJudged):
        keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": RISE})
    tuned.refresh_from_db()
    assert tuned.kept is False


def test_the_shipped_reward_model_judges_what_it_did_not_tune(tuned, shipped):
    assert [judge.checkpoint for judge in held_out_rewards(tuned.run)] == [shipped]


def test_a_generator_of_a_configuration_from_elsewhere_still_has_a_place(tuned):
    tuned.run.config = {"a field of another version": 1, "weights": "lora"}
    assert tuned.loras
    tuned.run.config = {}
    assert tuned.location == str(tuned.run.folder / "pipeline")
