"""The two updates of Algorithm 1: what each moves, what each costs, and which rewards are refused."""

import dataclasses

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.pairs import read_pairs
from refl.learning.sampling import load_pipeline
from refl.learning.updates import BadReward, Diverged, Tuner

PROMPTS = ["a red page", "a green page", "a blue page", "a white page"]
CONFIG = TuningConfig(
    steps=6, late_steps=(1, 3), sampler="ddim", batch_size=4, learning_rate=1e-3, reward_weight=1.0
)


def redness(prompts, images):
    return 4 * (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def a_tuner(pipeline_folder):
    def build(folder=pipeline_folder, **changes):
        return Tuner(dataclasses.replace(CONFIG, **changes), load_pipeline(folder, device="cpu"))

    return build


def weights_of(module):
    return {name: weight.clone() for name, weight in module.state_dict().items()}


def same(before, after):
    return all(torch.equal(before[name], after[name]) for name in before)


def test_both_updates_move_the_unet_and_nothing_else(a_tuner, pairs_folder):
    tuner = a_tuner()
    parts = [tuner.pipeline.unet, tuner.pipeline.vae, tuner.pipeline.text_encoder]
    start = [weights_of(part) for part in parts]
    tuner.update_with_pairs(read_pairs(pairs_folder), chance())
    halfway = [weights_of(part) for part in parts]
    tuner.update_with_reward(PROMPTS, redness, chance())
    end = [weights_of(part) for part in parts]
    assert [same(*pair) for pair in zip(start, halfway, strict=True)] == [False, True, True]
    assert [same(*pair) for pair in zip(halfway, end, strict=True)] == [False, True, True]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_pretraining_update_lowers_the_pretraining_loss(a_tuner, pipeline_folders, pairs_folder, kind):
    tuner, pairs = a_tuner(pipeline_folders[kind]), read_pairs(pairs_folder)
    losses = [tuner.update_with_pairs(pairs, chance())[0] for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_reward_update_raises_the_reward(a_tuner, pipeline_folders, kind):
    tuner = a_tuner(pipeline_folders[kind], guidance_scale=2.0)
    rewards = [tuner.update_with_reward(PROMPTS, redness, chance())[0] for _ in range(15)]
    assert rewards[-1] > rewards[0] + 0.2


def test_the_reward_loss_is_measured_on_the_images_the_reward_saw(a_tuner):
    seen = []

    def watching(prompts, images):
        assert prompts == PROMPTS
        seen.append(redness(prompts, images).detach())
        return redness(prompts, images)

    mean, loss, _ = a_tuner().update_with_reward(PROMPTS, watching, chance())
    assert mean == pytest.approx(seen[0].mean().item())
    assert loss == pytest.approx(sum(max(0.0, 2.0 - r) for r in seen[0].tolist()) / 4, rel=1e-5)


def test_a_whole_batch_is_rolled_out_in_at_most_as_many_unet_calls_as_there_are_steps(a_tuner):
    tuner, sizes = a_tuner(steps=40, late_steps=(1, 10), batch_size=8), []
    tuner.unet.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    tuner.update_with_reward(PROMPTS * 2, redness, chance())
    assert len(sizes) <= 40
    assert 8 * 30 <= sum(sizes[:-1]) <= 8 * 39
    assert sizes[-1] == 8


def test_microbatches_and_gradient_checkpointing_change_memory_but_not_the_step(a_tuner, pairs_folder):
    ends = []
    for changes in ({}, {"microbatch_size": 3}, {"gradient_checkpointing": True}):
        tuner = a_tuner(**changes)
        losses = tuner.update_with_pairs(read_pairs(pairs_folder), chance())
        rewards = tuner.update_with_reward(PROMPTS, redness, chance())
        ends.append((*losses, *rewards))
    assert ends[1] == pytest.approx(ends[0], rel=1e-4)
    assert ends[2] == pytest.approx(ends[0], rel=1e-4)


def test_the_reward_weight_scales_the_gradient_it_reports(a_tuner):
    whole = a_tuner().update_with_reward(PROMPTS, redness, chance())[2]
    tenth = a_tuner(reward_weight=0.1).update_with_reward(PROMPTS, redness, chance())[2]
    assert tenth == pytest.approx(0.1 * whole, rel=1e-4)


def test_captions_can_be_left_out_of_pretraining(a_tuner, pairs_folder):
    asked = []
    for share in (0.0, 1.0):
        tuner = a_tuner(empty_prompts=share)
        tuner.unet.register_forward_pre_hook(lambda module, args: asked.append(args[2]))
        tuner.update_with_pairs(read_pairs(pairs_folder), chance())
    assert not torch.equal(asked[0][0], asked[0][1])
    assert torch.equal(asked[1], tuner.denoiser.empty.expand(4, -1, -1))


def test_a_reward_models_own_weights_gather_no_gradient(a_tuner):
    scale = torch.ones((), requires_grad=True)
    _, _, norm = a_tuner().update_with_reward(PROMPTS, lambda p, i: scale * redness(p, i), chance())
    assert norm > 0
    assert scale.grad is None


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (lambda prompts, images: redness(prompts, images) * float("nan"), "not finite"),
        (lambda prompts, images: redness(prompts, images).mean(), r"4 images .* shape \(\)"),
        (lambda prompts, images: redness(prompts, images.detach()), "no gradient"),
    ],
)
def test_a_reward_that_cannot_be_followed_is_refused_before_anything_moves(a_tuner, reward, words):
    tuner = a_tuner()
    before = weights_of(tuner.unet)
    with pytest.raises(BadReward, match=words):
        tuner.update_with_reward(PROMPTS, reward, chance())
    assert same(before, weights_of(tuner.unet))


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(a_tuner):
    def cornered(prompts, images):
        return (redness(prompts, images) * 0).sqrt()  # 0, with an infinite slope

    tuner = a_tuner()
    before = weights_of(tuner.unet)
    with pytest.raises(Diverged):
        tuner.update_with_reward(PROMPTS, cornered, chance())
    assert same(before, weights_of(tuner.unet))


def test_the_averaged_weights_follow_the_trained_ones_and_give_them_back(a_tuner, pairs_folder):
    tuner = a_tuner(ema=0.75)
    start = weights_of(tuner.unet)
    tuner.update_with_pairs(read_pairs(pairs_folder), chance())
    tuner.follow()
    trained = weights_of(tuner.unet)
    with tuner.averaged() as pipeline:
        for name, weight in pipeline.unet.state_dict().items():
            torch.testing.assert_close(weight, 0.75 * start[name] + 0.25 * trained[name])
    assert same(trained, weights_of(tuner.unet))
