"""What may be a reward, and what a mixture of several is worth."""

import json
import shutil

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.rewards import (
    BadReward,
    Mixture,
    Part,
    check_differentiable,
    mean_and_deviation,
    measured_parts,
    score,
)
from refl.learning.training import tune

PROMPTS = ["a red page", "a blue page", "a page"]


def redness(prompts, images):
    return images[:, 0].mean(dim=(1, 2))


def blueness(prompts, images):
    return images[:, 2].mean(dim=(1, 2))


def black_box(prompts, images):
    return redness(prompts, images.detach())


black_box.differentiable = False


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()


def test_a_mixture_is_the_weighted_sum_of_the_normalised_scores(images):
    mixture = Mixture([Part("red", redness, 2.0, scale=(0.4, 0.1)), Part("blue", blueness, 0.5)])
    expected = [2.0 * (image[0].mean().item() - 0.4) / 0.1 + 0.5 * image[2].mean().item() for image in images]
    assert score(mixture, PROMPTS, images).tolist() == pytest.approx(expected, rel=1e-5)


def test_gradients_reach_the_images_through_every_part_by_its_weight_over_its_deviation(images):
    mixture = Mixture([Part("red", redness, 2.0, scale=(0.0, 0.1)), Part("blue", blueness, 0.5)])
    score(mixture, PROMPTS, images).sum().backward()
    red, green, blue = (images.grad[:, channel].unique().tolist() for channel in range(3))
    assert red == pytest.approx([20 / 64])
    assert green == [0]
    assert blue == pytest.approx([0.5 / 64])


def test_the_parts_are_measured_by_name_over_all_images_scored_meanwhile(images):
    mixture = Mixture([Part("red", redness, 2.0, scale=(0.4, 0.1)), Part("blue", blueness, 0.5)])
    with torch.no_grad():
        mixture(PROMPTS, torch.zeros(3, 3, 8, 8))  # before: does not count
    with measured_parts(mixture) as means:
        mixture(PROMPTS[:1], images[:1])
        mixture(PROMPTS[1:], images[1:])
    with torch.no_grad():
        mixture(PROMPTS, torch.zeros(3, 3, 8, 8))
    red, blue = images[:, 0].mean().item(), images[:, 2].mean().item()
    assert means == pytest.approx({"reward/red": (red - 0.4) / 0.1, "reward/blue": blue}, rel=1e-5)


def test_a_reward_that_is_no_mixture_has_no_parts_to_measure(images):
    with measured_parts(redness) as means:
        redness(PROMPTS, images)
    assert means == {}


def raising(prompts, images):
    raise KeyError("no such word\nand a long story")


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (lambda p, i: redness(p, i) * float("nan"), "is not finite"),
        (lambda p, i: i.mean(), r"gave 3 images a tensor of shape \(\)"),
        (lambda p, i: [1.0, 2.0, 3.0], "gave list, not a tensor"),
        (lambda p, i: redness(p, i.detach()), "has no gradient with respect to the images"),
        (lambda p, i: torch.zeros(3, device="meta"), "is on meta, the images on cpu"),
        (raising, "raised KeyError: 'no such word"),
    ],
)
def test_a_reward_that_cannot_be_used_is_refused_in_one_line_that_names_it(images, reward, words):
    mixture = Mixture([Part("red", redness, 1.0), Part("mine:taste", reward, 1.0)])
    with pytest.raises(BadReward, match=f"the reward 'mine:taste' {words}") as refusal:
        score(mixture, PROMPTS, images)
    assert "\n" not in str(refusal.value)


def test_memory_that_runs_out_is_not_the_rewards_fault(images):
    def hungry(prompts, images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        score(hungry, PROMPTS, images)


def test_a_reward_without_gradient_is_enough_where_nothing_follows_it(images):
    with torch.no_grad():
        assert score(black_box, PROMPTS, images).tolist() == redness(PROMPTS, images).tolist()


def test_a_black_box_is_refused_by_name_before_a_run_that_follows_gradients_writes_anything(
    tmp_path, pipeline_folder, pairs_folder
):
    with pytest.raises(BadReward, match="'black' is not differentiable, and the method refl follows"):
        tune(
            TuningConfig(),
            pipeline=pipeline_folder,
            reward=Mixture([Part("red", redness, 1.0), Part("black", black_box, 1.0)]),
            prompts=PROMPTS,
            pretraining=pairs_folder,
            folder=tmp_path / "run",
            on_step=print,
            should_stop=lambda: False,
        )
    assert not (tmp_path / "run").exists()
    check_differentiable(black_box, TuningConfig(reward_weight=0))  # a control asks no reward


@pytest.fixture
def tune_mixture(tmp_path, pipeline_folder, pairs_folder):
    """Tunes on a mixture of these parts for one update, and gives what that measured."""

    def make(*parts, folder="run"):
        steps = []
        tune(
            TuningConfig(steps=3, late_steps=(1, 2), updates=1, batch_size=2, sample_steps=2, guard_every=0),
            pipeline=pipeline_folder,
            reward=Mixture(parts),
            prompts=PROMPTS,
            pretraining=pairs_folder,
            folder=tmp_path / folder,
            on_step=lambda progress: steps.append(progress.measures),
            should_stop=lambda: False,
            device="cpu",
        )
        return steps[0]

    return make


def test_a_run_measures_each_part_of_its_mixture(tune_mixture):
    measures = tune_mixture(Part("red", redness, 0.75), Part("blue", blueness, 0.25))
    parts = 0.75 * measures["reward/red"] + 0.25 * measures["reward/blue"]
    assert measures["reward"] == pytest.approx(parts, rel=1e-5)


def test_scores_are_normalised_by_their_mean_and_deviation_over_pictures(images):
    mean, std = mean_and_deviation(
        redness, [(PROMPTS[:2], images[:2]), (PROMPTS[2:], images[2:])], name="the reward 'red'"
    )
    values = [image[0].mean().item() for image in images]
    assert mean == pytest.approx(sum(values) / 3)
    assert std == pytest.approx((sum((value - mean) ** 2 for value in values) / 3) ** 0.5)


def test_a_reward_that_tells_no_picture_from_another_cannot_be_normalised(images):
    with pytest.raises(BadReward, match="'flat' gives all of 3 pictures the same"):
        mean_and_deviation(lambda p, i: i.new_ones(len(i)), [(PROMPTS, images)], name="the reward 'flat'")


def test_a_part_of_unknown_scale_is_normalised_on_the_pretraining_pictures_once(tune_mixture, tmp_path):
    """Red, green, blue and white pages: two of four are red, mean 1/2 and deviation 1/2."""

    def red(scale, folder="run"):
        parts = Part("red", redness, 1.0, scale=scale), Part("blue", blueness, 1.0)
        return tune_mixture(*parts, folder=folder)["reward/red"]

    normalised, raw = red(None), red((0.0, 1.0), folder="raw")
    assert json.loads((tmp_path / "run" / "scales.json").read_text()) == {"red": [0.5, 0.5]}
    assert normalised == pytest.approx((raw - 0.5) / 0.5, rel=1e-4)

    shutil.rmtree(tmp_path / "run" / "pipeline")
    (tmp_path / "run" / "scales.json").write_text('{"red": [0.0, 2.0]}')
    assert red(None) == pytest.approx(raw / 2, rel=1e-4)
