"""Reward-selected training: what the reward selects, how it weighs, and what a resumed run reads back."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.methods import Materials
from refl.learning.methods.selected import Selected, best, weights_of
from refl.learning.methods.steps import pretraining_step
from refl.learning.pairs import read_pairs
from refl.learning.rewards import BadReward
from refl.learning.tuner import Tuner
from tests.refl.learning.conftest import rngs

PROMPTS = ["a red page", "a green page", "a blue page"]
CONFIG = TuningConfig(
    method="selected",
    steps=4,
    late_steps=(1, 2),
    batch_size=4,
    microbatch_size=0,
    learning_rate=1e-3,
    candidates=3,
    sample_steps=2,
    sample_guidance=1.0,
)


def redness(prompts, images):
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2)).detach()


def never(prompts, images):
    raise AssertionError("scored again")


@pytest.fixture
def a_method(pipeline_folder):
    def build(reward=redness, **changes):
        config = dataclasses.replace(CONFIG, **changes)
        return Selected(Tuner(config, load_family(pipeline_folder, device="cpu")), reward)

    return build


@pytest.fixture
def materials(pairs_folder):
    return Materials(PROMPTS, read_pairs(pairs_folder))


def test_the_best_share_is_kept_in_the_order_of_the_data():
    assert best([0.1, 0.9, -2.0, 0.8, 0.5], 0.4) == [1, 3]
    assert best([0.1, 0.9, -2.0, 0.8, 0.5], 1.0) == [0, 1, 2, 3, 4]
    assert best([0.1, 0.9], 0.01) == [1]


def test_weights_are_rewards_scaled_to_0_and_1():
    assert weights_of([-1.0, 3.0, 1.0]) == [0.0, 1.0, 0.5]
    assert weights_of([2.0, 2.0]) == [1.0, 1.0]


def test_all_pairs_are_kept_without_asking_the_reward(a_method, materials, tmp_path):
    assert a_method(never, selection="filter", keep_share=1.0).prepare(materials, tmp_path) == materials


def test_filtering_keeps_the_pairs_of_the_highest_reward(a_method, materials, tmp_path):
    kept = a_method(selection="filter", keep_share=0.5).prepare(materials, tmp_path)
    assert [pair.prompt for pair in kept.pairs] == ["a red page", "a white page"]
    assert kept.prompts == PROMPTS


def test_weighting_keeps_every_pair_and_weighs_its_loss(a_method, materials, tmp_path):
    method = a_method(selection="weighted")
    weighted = method.prepare(materials, tmp_path).pairs
    weights = {pair.prompt: pair.weight for pair in weighted}
    green = (0.5 - 64 / 255) / 1.5  # a page of (0, 128, 0), between blue's -1/2 and red's 1
    assert weights == pytest.approx(
        {"a red page": 1, "a green page": green, "a blue page": 0, "a white page": 1 / 3}, abs=1e-6
    )
    alone = [pretraining_step(a_method().tuner, [pair], rngs(1))[0] for pair in weighted[:1]]
    halved = dataclasses.replace(weighted[0], weight=0.5)
    assert pretraining_step(a_method().tuner, [halved], rngs(1))[0] == pytest.approx(0.5 * alone[0])


@pytest.mark.parametrize("selection", ["filter", "weighted", "raft"])
def test_a_resumed_run_selects_the_same_without_scoring_again(a_method, materials, tmp_path, selection):
    first = a_method(selection=selection).prepare(materials, tmp_path)
    assert a_method(never, selection=selection).prepare(materials, tmp_path) == first


def test_raft_learns_from_the_best_of_each_prompts_own_samples(a_method, materials, tmp_path):
    method, seen = a_method(selection="raft"), []

    def watching(prompts, images):
        seen.append((prompts, images, redness(prompts, images)))
        return seen[-1][-1]

    method.reward = watching
    prepared = method.prepare(materials, tmp_path)
    assert [pair.prompt for pair in prepared.pairs] == PROMPTS
    for pair, (prompts, images, rewards) in zip(prepared.pairs, seen, strict=True):
        assert prompts == [pair.prompt] * 3
        wanted = (images[rewards.argmax()] * 255).round().byte().permute(1, 2, 0)
        assert np.array_equal(np.asarray(Image.open(pair.file)), wanted.numpy())


def test_an_interrupted_raft_makes_what_is_missing_alone(a_method, materials, tmp_path):
    whole = a_method(selection="raft").prepare(materials, tmp_path).pairs
    before = [pair.file.read_bytes() for pair in whole]
    whole[1].file.unlink()
    asked = []

    def counting(prompts, images):
        asked.extend(prompts)
        return redness(prompts, images)

    a_method(counting, selection="raft").prepare(materials, tmp_path)
    assert asked == [PROMPTS[1]] * 3
    assert [pair.file.read_bytes() for pair in whole] == before


def test_raft_samples_a_prompt_in_the_same_batches_whatever_else_is_missing(a_method, materials, tmp_path):
    method, sizes = a_method(selection="raft", microbatch_size=2), []
    method.tuner.family.denoiser.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    method.prepare(materials, tmp_path)
    assert sizes == [2, 2, 1, 1] * 3  # two steps of two samples, and of the third


@pytest.mark.parametrize(("microbatch", "sizes"), [(0, [3, 1]), (2, [2, 2])])
def test_pairs_are_scored_in_parts_however_many_there_are(a_method, materials, tmp_path, microbatch, sizes):
    scored = []

    def counting(prompts, images):
        scored.append(len(prompts))
        return redness(prompts, images)

    a_method(counting, batch_size=3, microbatch_size=microbatch).prepare(materials, tmp_path)
    assert scored == sizes


def test_a_reward_that_is_not_finite_stores_nothing(a_method, materials, tmp_path):
    with pytest.raises(BadReward, match="not finite"):
        a_method(lambda prompts, images: redness(prompts, images) / 0).prepare(materials, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"selection": "best"}, "selection must be one of filter, weighted, raft"),
        ({"keep_share": 0.0}, "keep_share must lie above 0"),
        ({"candidates": 0}, "candidates must be at least 1"),
    ],
)
def test_a_selection_no_run_can_make_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(CONFIG, **values)
