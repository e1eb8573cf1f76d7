"""Images from a pipeline: which one comes from which prompt and seed, and what cannot be loaded."""

import numpy as np
import pytest
import torch
from PIL import Image

from refl.learning.families import NotAPipeline
from refl.learning.families.loading import load_family
from refl.learning.sampling import grid, sample

PROMPTS = ["a red page", "a green page", "a blue page", "a red page", "a red page"]
SEEDS = [1, 2, 3, 4, 1]


def images_of(family, prompts, seeds, batch_size):
    made = sample(family, prompts, seeds, steps=3, guidance_scale=2.0, batch_size=batch_size)
    return [np.asarray(image).astype(int) for image in made]


def test_an_image_follows_from_its_prompt_and_seed_whatever_shares_its_batch(a_family):
    together = images_of(a_family, PROMPTS, SEEDS, batch_size=4)
    assert len(together) == 5
    assert together[0].shape == (16, 16, 3)
    for prompt, seed, image in zip(PROMPTS, SEEDS, together, strict=True):
        [alone] = images_of(a_family, [prompt], [seed], batch_size=1)
        assert abs(alone - image).max() <= 1


def test_another_seed_gives_another_image(a_family):
    images = images_of(a_family, PROMPTS, SEEDS, batch_size=5)
    assert abs(images[0] - images[4]).max() <= 1
    assert abs(images[0] - images[3]).max() > 5


def test_as_many_seeds_as_prompts_are_wanted(a_family):
    with pytest.raises(ValueError, match="shorter"):
        images_of(a_family, PROMPTS, SEEDS[:2], batch_size=4)


def test_a_pipeline_is_loaded_in_full_precision_and_in_silence(a_family, pipeline_folder, tmp_path, capfd):
    a_family.pipeline.to(torch.float16).save_pretrained(tmp_path / "half")
    capfd.readouterr()
    family = load_family(tmp_path / "half", device="cpu")
    images_of(family, PROMPTS[:1], SEEDS[:1], batch_size=1)
    loaded = family.pipeline
    assert loaded.unet.dtype == loaded.vae.dtype == loaded.text_encoder.dtype == torch.float32
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_is_missing_or_holds_no_pipeline_is_refused(tmp_path, pipeline_folder):
    with pytest.raises(NotAPipeline, match="no such folder"):
        load_family(tmp_path / "nowhere")
    with pytest.raises(NotAPipeline, match=r"model_index\.json"):
        load_family(tmp_path)
    with pytest.raises(NotAPipeline, match="nobody/nothing"):
        load_family("nobody/nothing")


def test_a_pipeline_without_its_weights_is_refused(a_family, tmp_path):
    a_family.pipeline.save_pretrained(tmp_path)
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(NotAPipeline):
        load_family(tmp_path)


def test_a_grid_holds_the_images_row_by_row():
    red, blue = Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    sheet = grid([red, blue, blue], columns=2)
    assert sheet.size == (10, 10)
    assert sheet.getpixel((0, 0)) == (255, 0, 0)
    assert sheet.getpixel((6, 0)) == sheet.getpixel((0, 6)) == (0, 0, 255)
    assert sheet.getpixel((6, 6)) == (255, 255, 255)
