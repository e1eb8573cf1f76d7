"""Scores from files and from tensors."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rewardmodel.learning import load
from rewardmodel.learning.checkpoints.folder import CheckpointConfig, save
from rewardmodel.learning.data.preprocessing import UnreadableImage
from rewardmodel.learning.scoring import ImageSkipped, PromptTruncated


@pytest.fixture
def scorer(initial):
    return load(initial, device="cpu")


@pytest.fixture
def pictures(tmp_path):
    """Three files of different sizes."""
    chance, paths = np.random.default_rng(0), []
    for number, size in enumerate([(16, 16), (40, 24), (30, 61)]):
        smooth = Image.fromarray(chance.integers(0, 256, (5, 4, 3), dtype=np.uint8)).resize(size)
        paths.append(tmp_path / f"{number}.png")
        smooth.save(paths[-1])
    return paths


def test_one_image_gets_a_number_and_a_list_a_list(scorer, pictures):
    scores = scorer.score("a red circle", pictures)
    assert isinstance(scores, list)
    for path, expected in zip(pictures, scores, strict=True):
        assert scorer.score("a red circle", path) == pytest.approx(expected, abs=1e-5)
        assert scorer.score("a red circle", str(path)) == pytest.approx(expected, abs=1e-5)
        assert scorer.score("a red circle", Image.open(path)) == pytest.approx(expected, abs=1e-5)
    assert scorer.score("a red circle", []) == []


def test_rank_1_is_the_highest_score(scorer, pictures):
    ranks, rewards = scorer.inference_rank("a red circle", pictures)
    assert sorted(ranks) == [1, 2, 3]
    assert rewards[ranks.index(1)] == max(rewards)
    assert rewards[ranks.index(3)] == min(rewards)


def test_the_differentiable_score_is_the_score(scorer, pictures):
    for path in pictures:
        pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None].float() / 255
        pixels.requires_grad_()
        score = scorer.score_tensor(["a red circle"], pixels)
        # a file is rounded to bytes when it is resized, a tensor is not
        assert score.item() == pytest.approx(scorer.score("a red circle", path), abs=0.02)
        score.sum().backward()
        assert pixels.grad.abs().sum() > 0


def test_without_resizing_both_scores_are_equal(scorer, pictures):
    pixels = torch.from_numpy(np.array(Image.open(pictures[0]))).permute(2, 0, 1)[None].float() / 255
    assert scorer.score_tensor(["a red circle"], pixels).item() == pytest.approx(
        scorer.score("a red circle", pictures[0]), abs=1e-6
    )


def test_scores_are_normalised_as_the_checkpoint_says(
    initial, tmp_path, model, tokenizer, backbone, pictures
):
    folder = tmp_path / "shifted"
    save(folder, model=model, tokenizer=tokenizer, config=CheckpointConfig(backbone, mean=2.0, std=4.0))
    raw = load(initial).score("a red circle", pictures[0])
    assert load(folder).score("a red circle", pictures[0]) == pytest.approx((raw - 2) / 4, abs=1e-6)


def test_a_batch_scores_as_one_by_one(scorer, pictures):
    prompts = ["a red circle", "a blue square on the red circle", "circle"]
    together = scorer.score_pairs(prompts * 20, pictures * 20)
    alone = [scorer.score(prompt, path) for prompt, path in zip(prompts, pictures, strict=True)]
    assert together == pytest.approx(alone * 20, abs=1e-5)


def test_each_group_of_images_is_scored_for_its_own_prompt(scorer, pictures):
    prompts = ["a red circle", "circle", "a blue square on the red circle"]
    groups = [pictures[:1], [], pictures * 20]
    alone = [scorer.score(prompt, images) for prompt, images in zip(prompts, groups, strict=True)]
    together = scorer.score_groups(prompts, groups)
    assert [len(scores) for scores in together] == [1, 0, 60]
    for scores, expected in zip(together, alone, strict=True):
        assert scores == pytest.approx(expected, abs=1e-5)


def test_groups_of_another_number_than_prompts_are_refused(scorer, pictures):
    with pytest.raises(ValueError, match="2 prompts for 1 groups"):
        scorer.score_groups(["a red circle", "circle"], [pictures])
    with pytest.raises(ValueError, match="2 prompts for 1 groups"):
        scorer.embed_groups(["a red circle", "circle"], [pictures])


def test_what_the_head_sees_of_a_group_gives_its_scores_by_one_affine_map(scorer, pictures):
    prompts = ["a red circle", "circle", "a blue square on the red circle"]
    groups = [pictures[:1], [], pictures * 20]
    together = scorer.embed_groups(prompts, groups)
    assert [len(each.features) for each in together] == [1, 0, 60]
    width = together[0].features.shape[1]
    weight, bias = np.eye(width), np.zeros(width)  # the head's layers, multiplied out
    for layer in (each for each in scorer.model.head.layers if isinstance(each, torch.nn.Linear)):
        matrix, offset = layer.weight.double().numpy(), layer.bias.double().numpy()
        weight, bias = matrix @ weight, matrix @ bias + offset
    for each, scores in zip(together, scorer.score_groups(prompts, groups), strict=True):
        np.testing.assert_allclose(each.features @ weight[0] + bias[0], each.rewards, atol=1e-5)
        np.testing.assert_allclose((each.rewards - scorer.mean) / scorer.std, scores, atol=1e-5)
    assert scorer.embed_groups([], []) == []


@pytest.mark.parametrize("form", [str, Path])
def test_one_path_ranks_as_a_list_of_one(scorer, pictures, form):
    ranks, rewards = scorer.inference_rank("a red circle", form(pictures[0]))
    assert (ranks, rewards) == scorer.inference_rank("a red circle", pictures[:1])


@pytest.fixture
def broken(pictures, tmp_path):
    """A readable, a missing, a zero-byte, a cut off and another readable file."""
    (tmp_path / "empty.png").touch()
    pictures[1].write_bytes(pictures[1].read_bytes()[:60])
    return [pictures[0], tmp_path / "none.png", tmp_path / "empty.png", pictures[1], pictures[2]]


def test_a_missing_a_zero_byte_and_a_corrupt_file_are_named(scorer, broken):
    for path, reason in zip(broken[1:4], ["no such image", "not a whole", "not a whole"], strict=True):
        for images in (path, [*broken[:1], path]):
            with pytest.raises(UnreadableImage, match=f"{path.name}: {reason}"):
                scorer.score("a red circle", images)


def test_one_may_go_on_without_images_that_cannot_be_read(scorer, broken):
    with pytest.warns(ImageSkipped) as warned:
        ranks, rewards = scorer.inference_rank("a red circle", broken, on_error="nan")
    assert [str(each.message).split(":")[0] for each in warned] == [str(path) for path in broken[1:4]]
    assert [math.isnan(reward) for reward in rewards] == [False, True, True, True, False]
    assert rewards[0] == pytest.approx(scorer.score("a red circle", broken[0]), abs=1e-5)
    assert rewards[4] == pytest.approx(scorer.score("a red circle", broken[4]), abs=1e-5)
    assert {ranks[0], ranks[4]} == {1, 2}
    with pytest.warns(ImageSkipped):
        assert math.isnan(scorer.score("a red circle", broken[1], on_error="nan"))


def test_one_image_and_none_can_be_ranked(scorer, pictures):
    assert scorer.inference_rank("a red circle", pictures[:1]) == (
        [1],
        scorer.score("a red circle", pictures[:1]),
    )
    assert scorer.inference_rank("a red circle", []) == ([], [])


def test_of_equal_images_the_earlier_ranks_higher(scorer, pictures):
    ranks, _ = scorer.inference_rank("a red circle", [pictures[0]] * 3)
    assert ranks == [1, 2, 3]


def test_an_image_that_meets_many_prompts_is_encoded_once(scorer, pictures, monkeypatch):
    encode, encoded = scorer.model.encode, []
    monkeypatch.setattr(scorer.model, "encode", lambda images: encoded.append(len(images)) or encode(images))
    prompts = ["a red circle", "circle", "a blue square"] * 30
    together = scorer.score_pairs(prompts, [pictures[0]] * 60 + [Image.open(pictures[1])] * 30)
    assert encoded == [2]
    for number in (0, 59, 60, 89):
        path = pictures[0] if number < 60 else pictures[1]
        assert together[number] == pytest.approx(scorer.score(prompts[number], path), abs=1e-5)


def test_kept_features_score_as_the_image_does(scorer, pictures):
    features = scorer.encode(torch.stack([scorer.pixels(path) for path in pictures]))
    for prompt in ("a red circle", "circle"):
        scores = scorer.score_features([prompt] * 3, features)
        assert scores.tolist() == pytest.approx(scorer.score(prompt, pictures), abs=1e-5)


def test_what_prompts_ask_of_one_image_is_computed_once(scorer, pictures):
    features = scorer.encode(torch.stack([scorer.pixels(path) for path in pictures]))
    prompts, places = 8 * ["a red circle", "circle", "a blue square", "square"], 8 * [2, 0, 2, 2]
    apart = scorer.score_features(prompts, features[places])
    attention, asked = scorer.model.blip.text_encoder.encoder.layer[0].crossattention.self, []
    attention.key.register_forward_hook(lambda module, given, made: asked.append(len(made)))
    together = scorer.score_features(prompts, features, places)
    assert asked == [3]  # three images, not 32 prompts
    assert together.tolist() == pytest.approx(apart.tolist(), abs=1e-5)


def test_bfloat16_scores_are_close_and_its_head_stays_float32(initial, scorer, pictures):
    half = load(initial, device="cpu", precision="bfloat16")
    assert half.model.blip.visual_encoder.blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    assert half.model.mlp.layers[0].weight.dtype == torch.float32
    scores, exact = half.score("a red circle", pictures), scorer.score("a red circle", pictures)
    assert scores != exact
    spread = max(exact) - min(exact)
    assert scores == pytest.approx(exact, abs=0.1 * spread)


def test_a_precision_that_there_is_not_is_refused(initial):
    with pytest.raises(ValueError, match="float32 or bfloat16, not 'float16'"):
        load(initial, precision="float16")


def test_the_published_differentiable_score_is_the_score(scorer, pictures):
    images = torch.stack([scorer.preprocess(Image.open(path)) for path in pictures]).requires_grad_()
    text = scorer.blip.tokenizer(
        ["a red circle"] * 3, padding="max_length", truncation=True, max_length=35, return_tensors="pt"
    )
    rewards = scorer.score_gard(text.input_ids, text.attention_mask, images)
    assert rewards.shape == (3, 1)
    expected = scorer.score("a red circle", pictures)
    assert rewards[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    rewards.sum().backward()
    assert (images.grad.abs().sum((1, 2, 3)) > 0).all()


def test_a_scorer_moves_and_casts_like_the_module_it_is(scorer, pictures):
    expected = scorer.score("a red circle", pictures)
    double = scorer.to("cpu", dtype=torch.float64).eval().requires_grad_(False)
    assert double.device == torch.device("cpu")
    assert double.score("a red circle", pictures) == pytest.approx(expected, abs=1e-5)
    half = scorer.to(torch.bfloat16)
    assert half.score("a red circle", pictures) == pytest.approx(expected, rel=0.1, abs=0.1)


def test_tensors_of_another_number_than_prompts_are_refused(scorer):
    with pytest.raises(ValueError, match="2 prompts"):
        scorer.score_tensor(["a", "b"], torch.zeros(3, 3, 16, 16))


def test_importing_the_library_brings_neither_torch_nor_django():
    check = (
        "import sys; import rewardmodel.learning; "
        "sys.exit(bool({'torch', 'django', 'transformers', 'diffusers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_images_prepared_apart_are_scored_as_files_are(scorer, pictures):
    prompts = ["a red circle", "a blue square", "red"]
    prepared = [scorer.pixels(path) for path in pictures]
    assert scorer.score_pixels(prompts, prepared) == pytest.approx(scorer.score_pairs(prompts, pictures))


def test_a_prompt_that_the_model_reads_in_part_is_known(scorer):
    room = scorer.config.max_tokens - 2  # beside [CLS] and [SEP]
    assert scorer.truncated(["red " * room, "red " * (room + 1)]) == [False, True]
    assert scorer.lost(["red " * room, "red " * (room + 4)]) == [0, 4]
    assert scorer.truncated([]) == []


def test_a_prompt_that_is_read_in_part_is_warned_about_once(scorer, pictures):
    long = "red " * (scorer.config.max_tokens + 1)
    with pytest.warns(PromptTruncated, match="the last 3 word pieces are not read of the prompt 'red red"):
        scorer.score(long, pictures)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.score(long, pictures[0])
        scorer.score("a red circle", pictures[0])
    with pytest.warns(PromptTruncated):
        scorer.score_tensor([f"{long} circle"], torch.zeros(1, 3, 16, 16))
