"""The two steps of Algorithm 1: what each moves, what each costs, and which rewards are refused."""

import dataclasses

import pytest
import torch

from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.methods.refl import ReFL
from refl.learning.methods.steps import pretraining_step
from refl.learning.pairs import read_pairs
from refl.learning.precision import Diverged
from refl.learning.rewards import BadReward
from refl.learning.tuner import Tuner
from tests.refl.learning.conftest import rngs

PROMPTS = ["a red page", "a green page", "a blue page", "a white page"]
CONFIG = TuningConfig(
    steps=6,
    late_steps=(1, 3),
    sampler="ddim",
    batch_size=4,
    microbatch_size=0,
    learning_rate=1e-3,
    reward_weight=1.0,
)


def redness(prompts, images):
    return 4 * (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


@pytest.fixture
def a_method(pipeline_folder):
    def build(folder=pipeline_folder, reward=redness, **changes):
        config = dataclasses.replace(CONFIG, **changes)
        return ReFL(Tuner(config, load_family(folder, device="cpu")), reward)

    return build


def weights_of(module):
    return {name: weight.clone() for name, weight in module.state_dict().items()}


def same(before, after):
    return all(torch.equal(before[name], after[name]) for name in before)


def test_both_updates_move_the_unet_and_nothing_else(a_method, pairs_folder):
    method = a_method()
    pipeline = method.tuner.family.pipeline
    parts = [pipeline.unet, pipeline.vae, pipeline.text_encoder]
    start = [weights_of(part) for part in parts]
    pretraining_step(method.tuner, read_pairs(pairs_folder), rngs(4))
    halfway = [weights_of(part) for part in parts]
    method.reward_step(PROMPTS, rngs(4))
    end = [weights_of(part) for part in parts]
    assert [same(*pair) for pair in zip(start, halfway, strict=True)] == [False, True, True]
    assert [same(*pair) for pair in zip(halfway, end, strict=True)] == [False, True, True]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_pretraining_update_lowers_the_pretraining_loss(a_method, pipeline_folders, pairs_folder, kind):
    method, pairs = a_method(pipeline_folders[kind]), read_pairs(pairs_folder)
    losses = [pretraining_step(method.tuner, pairs, rngs(4))[0] for _ in range(15)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_reward_update_raises_the_reward(a_method, pipeline_folders, kind):
    method = a_method(pipeline_folders[kind], guidance_scale=2.0)
    rewards = [method.reward_step(PROMPTS, rngs(4))[0] for _ in range(15)]
    assert rewards[-1] > rewards[0] + 0.2


def test_the_reward_loss_is_measured_on_the_images_the_reward_saw(a_method):
    seen = []

    def watching(prompts, images):
        assert prompts == PROMPTS
        seen.append(redness(prompts, images).detach())
        return redness(prompts, images)

    mean, loss, _ = a_method(reward=watching).reward_step(PROMPTS, rngs(4))
    assert mean == pytest.approx(seen[0].mean().item())
    assert loss == pytest.approx(sum(max(0.0, 2.0 - r) for r in seen[0].tolist()) / 4, rel=1e-5)


def test_a_whole_batch_is_rolled_out_in_at_most_as_many_unet_calls_as_there_are_steps(a_method):
    method, sizes = a_method(steps=40, late_steps=(1, 10), batch_size=8), []
    method.tuner.family.denoiser.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    method.reward_step(PROMPTS * 2, rngs(8))
    assert len(sizes) <= 40
    assert 8 * 30 <= sum(sizes[:-1]) <= 8 * 39
    assert sizes[-1] == 8


def test_microbatches_and_gradient_checkpointing_change_memory_but_not_the_step(a_method, pairs_folder):
    ends = []
    for changes in ({}, {"microbatch_size": 3}, {"microbatch_size": 1}, {"gradient_checkpointing": True}):
        method = a_method(sampler="ddpm", empty_prompts=0.5, **changes)
        losses = pretraining_step(method.tuner, read_pairs(pairs_folder), rngs(4))
        rewards = method.reward_step(PROMPTS, rngs(4))
        ends.append((*losses, *rewards))
    assert all(end == pytest.approx(ends[0], rel=1e-4) for end in ends[1:])


def test_no_network_ever_sees_more_samples_than_a_microbatch_has(a_method, pairs_folder):
    method, sizes = a_method(microbatch_size=3), {}
    pipeline = method.tuner.family.pipeline
    for part in (pipeline.unet, pipeline.vae.encoder, pipeline.vae.decoder):
        seen = sizes.setdefault(type(part).__name__, set())
        part.register_forward_pre_hook(lambda module, args, seen=seen: seen.add(len(args[0])))
    pretraining_step(method.tuner, read_pairs(pairs_folder), rngs(4))
    method.reward_step(PROMPTS, rngs(4))
    assert sizes.keys() == {"UNet2DConditionModel", "Encoder", "Decoder"}
    assert all(max(seen) == 3 and len(seen) > 1 for seen in sizes.values())


def test_the_reward_weight_scales_the_gradient_it_reports(a_method):
    whole = a_method().reward_step(PROMPTS, rngs(4))[2]
    tenth = a_method(reward_weight=0.1).reward_step(PROMPTS, rngs(4))[2]
    assert tenth == pytest.approx(0.1 * whole, rel=1e-4)


def test_captions_can_be_left_out_of_pretraining(a_method, pairs_folder):
    asked = []
    for share in (0.0, 1.0):
        method = a_method(empty_prompts=share)
        method.tuner.family.denoiser.register_forward_pre_hook(lambda module, args: asked.append(args[2]))
        pretraining_step(method.tuner, read_pairs(pairs_folder), rngs(4))
    assert not torch.equal(asked[0][0], asked[0][1])
    assert torch.equal(asked[1], method.tuner.family.unconditional.expand(4).embeddings)


def test_a_reward_models_own_weights_gather_no_gradient(a_method):
    scale = torch.ones((), requires_grad=True)
    _, _, norm = a_method(reward=lambda p, i: scale * redness(p, i)).reward_step(PROMPTS, rngs(4))
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
def test_a_reward_that_cannot_be_followed_is_refused_before_anything_moves(a_method, reward, words):
    method = a_method(reward=reward)
    before = weights_of(method.tuner.family.denoiser)
    with pytest.raises(BadReward, match=words):
        method.reward_step(PROMPTS, rngs(4))
    assert same(before, weights_of(method.tuner.family.denoiser))


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights(a_method):
    def cornered(prompts, images):
        return (redness(prompts, images) * 0).sqrt()  # 0, with an infinite slope

    method = a_method(reward=cornered)
    before = weights_of(method.tuner.family.denoiser)
    with pytest.raises(Diverged):
        method.reward_step(PROMPTS, rngs(4))
    assert same(before, weights_of(method.tuner.family.denoiser))


def test_the_averaged_weights_follow_the_trained_ones_and_give_them_back(a_method, pairs_folder):
    method = a_method(ema=0.75, ema_warmup=False)
    denoiser = method.tuner.family.denoiser
    start = weights_of(denoiser)
    pretraining_step(method.tuner, read_pairs(pairs_folder), rngs(4))
    method.tuner.update_average()
    trained = weights_of(denoiser)
    with method.tuner.averaged():
        for name, weight in denoiser.state_dict().items():
            torch.testing.assert_close(weight, 0.75 * start[name] + 0.25 * trained[name])
    assert same(trained, weights_of(denoiser))
