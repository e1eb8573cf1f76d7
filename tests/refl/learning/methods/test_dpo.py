"""Diffusion-DPO: its loss and gradient written out, its frozen reference, and what it learns."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file

from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.losses import preference_losses
from refl.learning.methods import Batch
from refl.learning.methods.dpo import DiffusionDPO
from refl.learning.pairs import BadPairs, Pair, Preference, load_images, preferences_of
from refl.learning.training import tune
from refl.learning.tuner import Tuner
from rewardmodel.learning.data.rankings import Ranking
from rewardmodel.learning.errors import Interrupted
from tests.refl.learning.conftest import rng, rngs

CONFIG = TuningConfig(method="dpo", batch_size=2, microbatch_size=0, learning_rate=1e-3, beta=50.0)


@pytest.fixture
def preferences(pairs_folder):
    red, green, white = (pairs_folder / f"{colour}.png" for colour in ("red", "green", "white"))
    return [Preference("a page", red, green), Preference("a red page", red, white)]


@pytest.fixture
def a_method(pipeline_folder):
    def build(folder=pipeline_folder, **changes):
        config = dataclasses.replace(CONFIG, **changes)
        return DiffusionDPO(Tuner(config, load_family(folder, device="cpu")), None)

    return build


def test_the_loss_is_the_published_formula():
    chosen, rejected = [0.01, -0.02, 0.0], [0.012, -0.021, 0.0]
    written_out = [
        -math.log(1 / (1 + math.exp(2000 / 2 * (worse - other))))
        for worse, other in zip(chosen, rejected, strict=True)
    ]
    losses = preference_losses(torch.tensor(chosen), torch.tensor(rejected), 2000.0)
    assert losses.tolist() == pytest.approx(written_out, rel=1e-4)


def test_a_step_is_that_of_the_loss_written_out_with_a_copy_as_reference(a_method, preferences):
    """After some updates, so that the reference is no longer what is trained."""
    method = a_method()
    tuner, family, batch = method.tuner, method.tuner.family, Batch(preferences=preferences)
    frozen = {name: value.clone() for name, value in family.denoiser.state_dict().items()}
    for update in range(3):
        method.update(batch, rngs(2, update))
    own = method.measure(preferences, rngs(2, 9))["loss"]

    trained = {name: value.clone() for name, value in family.denoiser.state_dict().items()}
    chances, losses = rngs(2, 9), []
    for preference, chance in zip(preferences, chances, strict=True):
        files = (preference.chosen, preference.rejected)
        images = [load_images([Pair(file, "")], family.image_size) for file in files]
        latents = [family.encode(image, [chance]) for image in images]
        noise = torch.randn(1, *family.latent_shape, generator=chance)
        timestep = family.random_timesteps([chance])
        text = tuner.encode_prompts([preference.prompt])
        differences = []
        for clean in latents:
            noisy = family.add_noise(clean, noise, timestep)
            target = family.training_target(clean, noise, timestep)
            errors = []
            for weights in (trained, frozen):
                family.denoiser.load_state_dict(weights)
                output = family.predict(noisy, timestep, text)
                errors.append(((output - target) ** 2).mean().item())
            differences.append(errors[0] - errors[1])
        losses.append(math.log(1 + math.exp(50.0 / 2 * (differences[0] - differences[1]))))
    assert own.tolist() == pytest.approx(losses, rel=1e-4)


@pytest.mark.parametrize("weights", ["all", "lora"])
def test_the_first_loss_is_ln_2_and_it_falls(a_method, preferences, weights):
    method, batch = a_method(weights=weights, learning_rate=3e-3), Batch(preferences=preferences)
    losses = [method.update(batch, rngs(2))["preference_loss"] for _ in range(6)]
    assert losses[0] == pytest.approx(math.log(2), rel=1e-5)
    assert losses[-1] < losses[0]


def test_in_a_first_stage_loras_reference_is_the_generator_without_matrices(a_method, preferences):
    method = a_method(weights="lora", learning_rate=3e-3)
    denoiser, bare = method.tuner.family.denoiser, a_method(weights="lora").tuner.family.denoiser
    bare.disable_adapters()
    for update in range(2):
        method.update(Batch(preferences=preferences), rngs(2, update))
    noise, text = torch.randn(1, 4, 8, 8, generator=rng()), torch.randn(1, 16, 16, generator=rng(1))
    with method.reference.restored():
        assert torch.equal(denoiser(noise, 3, text).sample, bare(noise, 3, text).sample)
    assert not torch.equal(denoiser(noise, 3, text).sample, bare(noise, 3, text).sample)


STAGES = ({"updates": 2}, {"updates": 3})


@pytest.fixture
def a_run(pipeline_folder, preferences, tmp_path):
    """Tune by the preferences in two stages; what was reported, by update, and the weights it ended with."""

    def run(name, config, *, stop_after=None, reports):
        return tune(
            config,
            pipeline=pipeline_folder,
            reward=lambda prompts, images: images.mean((1, 2, 3)),
            prompts=[],
            pretraining=None,
            preferences=preferences,
            folder=tmp_path / name,
            on_step=lambda progress: reports.append((progress.step, dict(progress.measures))),
            should_stop=lambda: reports[-1][0] == stop_after,
            device="cpu",
        )

    return run


@pytest.mark.parametrize("weights", ["all", "lora"])
def test_the_reference_of_each_stage_is_the_generator_it_starts_from_also_after_a_resumption(a_run, weights):
    config = dataclasses.replace(
        CONFIG, weights=weights, stages=STAGES, learning_rate=3e-3, ema=0.5, guard_every=0
    )
    whole, broken = [], []
    first = a_run("whole", config, reports=whole)
    losses = [measures["preference_loss"] for _, measures in whole]
    at_start = [loss == pytest.approx(math.log(2), rel=1e-6) for loss in losses]
    assert at_start == [True, False, True, False, False]

    for stop in (1, 4):
        with pytest.raises(Interrupted):
            a_run("broken", config, stop_after=stop, reports=broken)
    second = a_run("broken", config, reports=broken)
    assert broken == whole
    for file in first.rglob("*.safetensors"):
        tuned, resumed = load_file(file), load_file(second / file.relative_to(first))
        assert all(torch.equal(tuned[name], resumed[name]) for name in tuned)


def test_microbatches_change_no_number(a_method, preferences):
    whole, halves = (
        a_method(microbatch_size=size).update(Batch(preferences=preferences), rngs(2)) for size in (0, 1)
    )
    assert halves == pytest.approx(whole, rel=1e-4)


def test_pairs_in_different_places_are_preferences_and_ties_are_dropped(tmp_path):
    images = tuple(tmp_path / f"{n}.png" for n in range(3))
    for image in images:
        image.touch()
    rankings = [Ranking("1", "a fox", images, (2, 1, 2))]
    assert preferences_of(rankings) == [
        Preference("a fox", images[1], images[0]),
        Preference("a fox", images[1], images[2]),
    ]


def test_an_image_that_is_missing_is_named_with_its_ranking(tmp_path):
    (tmp_path / "there.png").touch()
    ranking = Ranking("17", "a fox", (tmp_path / "there.png", tmp_path / "gone.png"), (1, 2))
    with pytest.raises(BadPairs, match=r"ranking 17: no file .*gone\.png"):
        preferences_of([ranking])


def test_an_image_that_is_broken_is_named(a_method, preferences, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(BadPairs, match=r"broken\.png"):
        a_method().update(Batch(preferences=[dataclasses.replace(preferences[0], chosen=broken)]), rngs(1))


def test_a_negative_beta_is_refused():
    with pytest.raises(ValueError, match="beta must be positive"):
        dataclasses.replace(CONFIG, beta=0.0)
