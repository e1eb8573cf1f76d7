"""A LoRA file over a pipeline: put into its weights, and refused where it does not fit."""

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from refl.learning.config import TuningConfig
from refl.learning.families.inspection import inspect_pipeline
from refl.learning.families.loading import load_family
from refl.learning.families.lora_files import DIFFUSERS, KOHYA, NotALoRA, check_lora
from refl.learning.training import tune
from refl.learning.tuner import Tuner
from tests.refl.learning.conftest import rng

CONFIG = TuningConfig(
    weights="lora",
    lora_rank=2,
    steps=3,
    late_steps=(1, 2),
    image_size=16,
    reward_weight=1.0,
    updates=2,
    batch_size=2,
    gradient_checkpointing=True,
    learning_rate=0.1,
    sample_prompts=1,
    sample_steps=1,
)


@pytest.fixture(scope="module")
def lora(pipeline_folder, tmp_path_factory):
    """A LoRA of the tiny pipeline in both layouts, and the image that the pipeline makes with it."""
    folder = tmp_path_factory.mktemp("lora")
    tuner = Tuner(TuningConfig(weights="lora", lora_rank=2), load_family(pipeline_folder, "cpu"))
    for number, parameter in enumerate(tuner.weights.parameters):
        torch.nn.init.normal_(parameter, std=0.3, generator=rng(number))
    tuner.save(folder)
    return folder, image_of(tuner.family)


def image_of(family):
    width, height = family.image_size
    made = family.pipeline(
        "a red page", width=width, height=height, num_inference_steps=2, generator=rng(1), output_type="pt"
    )
    return made.images


def changed(lora, tmp_path, change, file=DIFFUSERS):
    """A copy of the LoRA whose tensors a test changed."""
    tensors = load_file(lora[0] / file)
    change(tensors)
    save_file(tensors, tmp_path / "changed.safetensors")
    return tmp_path / "changed.safetensors"


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux dev", "flux schnell"])
def test_a_lora_of_every_family_is_tuned_saved_and_read_by_diffusers(saved, pairs_folder, tmp_path, kind):
    sampler = "ddim" if kind.startswith("sd") and kind != "sd3" else "euler"
    result = tune(
        replace(CONFIG, sampler=sampler),
        pipeline=saved(kind),
        reward=lambda prompts, images: images.mean((1, 2, 3)),
        prompts=["a red page", "a green page"],
        pretraining=pairs_folder,
        folder=tmp_path,
        on_step=lambda progress: None,
        should_stop=lambda: False,
        device="cpu",
    )
    files = {DIFFUSERS, KOHYA} if kind == "sdxl" else {DIFFUSERS}
    assert {file.name for file in result.iterdir()} == files
    start = load_family(saved(kind), "cpu")
    check_lora(result / DIFFUSERS, saved(kind), inspect_pipeline(saved(kind)))
    fused = load_family(saved(kind), "cpu", loras=[result / DIFFUSERS])
    for family in (start, fused):
        family.resize(16)
    before, tuned = image_of(start), image_of(fused)
    assert (before - tuned).abs().max() > 1e-3
    for file in files:
        plain = load_family(saved(kind), "cpu")  # diffusers' own pipeline is in it
        plain.resize(16)
        plain.pipeline.load_lora_weights(result, weight_name=file)
        assert (image_of(plain) - tuned).abs().max() < 1e-4


@pytest.mark.parametrize("file", [DIFFUSERS, KOHYA])
def test_a_pipeline_with_a_lora_makes_the_images_it_was_tuned_to_and_is_saved_as_a_plain_one(
    pipeline_folder, lora, tmp_path, file
):
    folder, tuned = lora
    check_lora(folder / file, pipeline_folder, inspect_pipeline(pipeline_folder))
    family = load_family(pipeline_folder, "cpu", loras=[folder / file])
    assert (image_of(family) - tuned).abs().max() < 1e-4
    assert not any("lora" in name for name in family.denoiser.state_dict())
    family.save(tmp_path / "whole")
    assert (image_of(load_family(tmp_path / "whole", "cpu")) - tuned).abs().max() < 1e-4


def test_a_lora_is_trained_on_top_of_another_and_both_are_loaded_together(pipeline_folder, lora, tmp_path):
    first = lora[0] / DIFFUSERS
    tuner = Tuner(
        TuningConfig(weights="lora", lora_rank=3), load_family(pipeline_folder, "cpu", loras=[first])
    )
    assert (image_of(tuner.family) - lora[1]).abs().max() < 1e-4
    for number, parameter in enumerate(tuner.weights.parameters):
        torch.nn.init.normal_(parameter, std=0.2, generator=rng(100 + number))
    tuner.save(tmp_path)
    both = load_family(pipeline_folder, "cpu", loras=[first, tmp_path / DIFFUSERS])
    assert (image_of(both) - image_of(tuner.family)).abs().max() < 1e-3
    assert (image_of(both) - lora[1]).abs().max() > 0.01


def test_a_lora_of_another_kind_of_pipeline_is_refused(pipeline_folder, lora, tmp_path):
    def rename(tensors):
        for name in list(tensors):
            tensors[name.replace("down_blocks.0", "down_blocks.7")] = tensors.pop(name)

    def widen(tensors):
        for name in tensors:
            if name.endswith("lora_A.weight"):
                tensors[name] = torch.zeros(2, 77)

    inspection = inspect_pipeline(pipeline_folder)
    for change, words in (
        (rename, r"down_blocks\.7.* is no layer of"),
        (widen, "has 77 inputs, and in .* 16; name"),
    ):
        file = changed(lora, tmp_path, change)
        with pytest.raises(NotALoRA, match=words):
            check_lora(file, pipeline_folder, inspection)
        with pytest.raises(
            NotALoRA, match=r"changed\.safetensors: (the pipeline has \d+ of|diffusers cannot)"
        ):
            load_family(pipeline_folder, "cpu", loras=[file])


def test_a_lora_that_is_not_finite_is_refused(pipeline_folder, lora, tmp_path):
    def spoil(tensors):
        next(iter(tensors.values()))[0, 0] = float("nan")

    with pytest.raises(NotALoRA, match="not finite"):
        load_family(pipeline_folder, "cpu", loras=[changed(lora, tmp_path, spoil)])


def test_a_file_that_is_no_lora_is_refused(pipeline_folder, tmp_path):
    inspection = inspect_pipeline(pipeline_folder)
    weights = shutil.copy(pipeline_folder / "unet/diffusion_pytorch_model.safetensors", tmp_path / "unet")
    text = tmp_path / "text.safetensors"
    text.write_text("a LoRA")
    for file, words in (
        (tmp_path / "none.safetensors", "no such file"),
        (text, "not safetensors"),
        (weights, "holds no LoRA"),
    ):
        with pytest.raises(NotALoRA, match=words):
            check_lora(file, pipeline_folder, inspection)
        with pytest.raises(NotALoRA, match=words):
            load_family(pipeline_folder, "cpu", loras=[file])
