"""Images from a pipeline: which one comes from which prompt and seed, and what cannot be loaded."""

import numpy as np
import pytest
import torch
from PIL import Image

from refl.learning.families import NotAPipeline
from refl.learning.families.loading import load_family
from refl.learning.sampling import best_of, grid, prompts_at_once, sample

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


def redness(prompts, images):
    return [float(np.asarray(image)[..., 0].mean()) for image in images]


@pytest.mark.parametrize("batch_size", [2, 3, 100])
def test_the_best_of_several_candidates_is_the_one_that_scores_highest(a_family, batch_size):
    groups = [[1, 2, 3], [4, 5, 6]]
    chosen = list(
        best_of(a_family, PROMPTS[:2], groups, redness, steps=3, guidance_scale=2.0, batch_size=batch_size)
    )
    assert len(chosen) == 2
    for prompt, seeds, choice in zip(PROMPTS, groups, chosen, strict=False):
        candidates = images_of(a_family, [prompt] * 3, seeds, batch_size=3)
        best = max(range(3), key=lambda i: candidates[i][..., 0].mean())
        assert choice.seed == seeds[best]
        assert choice.reward == pytest.approx(candidates[best][..., 0].mean(), abs=0.5)
        assert abs(np.asarray(choice.image).astype(int) - candidates[best]).max() <= 1


def test_of_equal_candidates_the_first_is_chosen_and_none_is_held_longer_than_its_batch(a_family):
    batches = []

    def same(prompts, images):
        batches.append(len(images))
        return [1.0] * len(images)

    asked = {"steps": 1, "guidance_scale": 1.0, "batch_size": 4}
    chosen = best_of(a_family, PROMPTS[:3], [[1, 2], [3, 4], [5, 6]], same, **asked)
    assert [choice.seed for choice in chosen] == [1, 3, 5]
    assert batches == [4, 2]
    [choice] = best_of(a_family, PROMPTS[:1], [range(9)], same, **asked)
    assert choice.seed == 0
    assert batches[2:] == [4, 4, 1]
    assert [prompts_at_once(count, 16) for count in (1, 4, 5, 16, 17)] == [16, 4, 3, 1, 1]


def test_a_reward_that_is_no_number_chooses_nothing(a_family):
    asked = {"steps": 1, "guidance_scale": 1.0, "batch_size": 4}
    with pytest.raises(ValueError, match="seed 2 for 'a red page' is nan"):
        list(best_of(a_family, PROMPTS[:1], [[1, 2]], lambda *_: [1.0, float("nan")], **asked))


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
    sheet = grid([red, blue, red, red, blue])
    assert sheet.size == (22, 10)
    assert sheet.getpixel((0, 0)) == sheet.getpixel((18, 0)) == (255, 0, 0)
    assert sheet.getpixel((6, 0)) == sheet.getpixel((0, 6)) == (0, 0, 255)
    assert sheet.getpixel((6, 6)) == sheet.getpixel((4, 0)) == (255, 255, 255)
