"""What a tuner computes in and steps with: precision, learning rate, the warm-up of the average."""

import dataclasses
import math

import pytest
import torch

from refl.learning.chance import randint, randn, rng_at
from refl.learning.config import TuningConfig
from refl.learning.embeddings import PromptEmbeddings
from refl.learning.families.loading import load_family
from refl.learning.optimizer import learning_rate
from refl.learning.precision import Diverged, LossScale
from refl.learning.tuner import Tuner
from rewardmodel.learning.averaging import ExponentialMovingAverage
from tests.refl.learning.conftest import rngs, some_noise

PROMPTS = ["a red page", "a green page"]
CONFIG = TuningConfig(steps=4, late_steps=(1, 2), batch_size=2, learning_rate=1e-3)


@pytest.fixture
def a_tuner(pipeline_folder):
    return lambda **changes: Tuner(
        dataclasses.replace(CONFIG, **changes), load_family(pipeline_folder, "cpu")
    )


def squares(tuner):
    """A loss of what the denoiser predicts and the decoder makes of it."""
    family, text = tuner.family, tuner.encode_prompts(PROMPTS)

    def measure(part):
        output = family.predict(some_noise(2)[part], torch.tensor(3), text[part])
        return {"loss": (family.decode(output) - output.mean()).square().flatten(1).mean(1)}

    return measure


@pytest.mark.parametrize("weights", ["all", "lora"])
@pytest.mark.parametrize(("precision", "apart"), [("bfloat16", 0.05), ("float16", 0.02)])
def test_half_precision_gives_nearly_the_gradient_of_float32_to_weights_that_stay_float32(
    a_tuner, precision, apart, weights
):
    whole, half = a_tuner(weights=weights), a_tuner(weights=weights, precision=precision)
    losses = [tuner.accumulate(2, squares(tuner))["loss"] for tuner in (whole, half)]
    assert losses[1] == pytest.approx(losses[0], rel=apart)
    assert losses[1] != losses[0]
    pairs = zip(whole.weights.parameters, half.weights.parameters, strict=True)
    gradients = [
        (a.grad.flatten(), b.grad.flatten() / half.loss_scale.value) for a, b in pairs if a.grad is not None
    ]
    ours, wanted = (torch.cat(each) for each in zip(*((b, a) for a, b in gradients), strict=True))
    assert (ours - wanted).norm() < 2 * apart * wanted.norm()
    assert {weight.dtype for weight in half.weights.parameters} == {torch.float32}
    norms = [tuner.step() for tuner in (whole, half)]
    assert norms[1] == pytest.approx(norms[0], rel=2 * apart)


def test_frozen_matrices_are_held_in_half_precision_beside_lora_and_as_they_came_where_all_is_saved(a_tuner):
    for weights, dtype in (("lora", torch.bfloat16), ("all", torch.float32)):
        pipeline = a_tuner(weights=weights, precision="bfloat16").family.pipeline
        [matrix] = [w for n, w in pipeline.text_encoder.named_parameters() if n.endswith("fc1.weight")]
        assert matrix.dtype == dtype
        assert {weight.dtype for weight in pipeline.vae.parameters()} == {torch.float32}


def test_a_pipeline_samples_in_half_precision_much_as_in_float32(a_tuner):
    images = [
        a_tuner(precision=precision)
        .family.pipeline(PROMPTS, num_inference_steps=2, generator=rngs(2), output_type="np")
        .images
        for precision in ("float32", "bfloat16")
    ]
    assert 0 < abs(images[0] - images[1]).max() < 0.05


def test_a_gradient_that_overflows_in_float16_is_left_out_and_the_scale_halves(a_tuner):
    tuner = a_tuner(precision="float16")
    before = [weight.clone() for weight in tuner.weights.parameters]

    def overflows(part):
        return {"loss": squares(tuner)(part)["loss"] * math.inf}

    tuner.accumulate(2, overflows)
    assert tuner.step() is None
    assert tuner.loss_scale.value == LossScale.INITIAL / 2
    assert all(torch.equal(a, b) for a, b in zip(before, tuner.weights.parameters, strict=True))
    tuner.accumulate(2, squares(tuner))
    assert tuner.step() > 0


def test_the_loss_scale_doubles_after_steps_without_overflow_and_gives_up_at_1():
    scale = LossScale("float16")
    for _ in range(LossScale.GROWTH_INTERVAL):
        scale.update(1.0)
    assert scale.value == 2 * LossScale.INITIAL
    for _ in range(17):
        scale.update(math.inf)
    with pytest.raises(Diverged):
        scale.update(math.nan)


def test_a_short_run_with_the_published_decay_keeps_nothing_of_the_base_only_with_warm_up():
    """Of the paper's 100 updates, .9999 without warm-up leaves 99 % of the base in the average."""
    shares = []
    for warm_up in (False, True):
        weight = torch.nn.Parameter(torch.ones(1))
        average = ExponentialMovingAverage([weight], 0.9999, use_num_updates=warm_up)
        weight.data.zero_()
        for _ in range(100):
            average.update()
        shares.append(average.shadow_params[0].item())
    assert shares[0] == pytest.approx(0.9999**100)
    assert shares[1] == pytest.approx(math.prod((1 + n) / (10 + n) for n in range(1, 101)), abs=1e-12)
    assert shares[1] < 1e-10


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_the_learning_rate_rises_over_the_warm_up_and_falls_as_its_schedule_says(schedule):
    config = TuningConfig(updates=10, warmup_updates=4, learning_rate_schedule=schedule, learning_rate=1.0)
    rates = [learning_rate(config, update) for update in range(10)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    after = {
        "constant": [1.0] * 6,
        "linear": [(6 - n) / 6 for n in range(6)],
        "cosine": [(1 + math.cos(math.pi * n / 6)) / 2 for n in range(6)],
    }
    assert rates[4:] == pytest.approx(after[schedule])


def test_the_draws_of_a_sample_depend_on_seed_update_and_its_place_alone():
    together = randn((2, 3), rng_at(7, 5, range(4)))
    for place in range(4):
        assert torch.equal(randn((2, 3), rng_at(7, 5, [place]))[0], together[place])
    assert len({row.sum().item() for row in together}) == 4
    assert not torch.equal(together, randn((2, 3), rng_at(7, 6, range(4))))
    assert set(randint(2, 5, rngs(200)).tolist()) == {2, 3, 4}


def test_prompts_that_do_not_fit_the_cache_are_encoded_again(a_family, monkeypatch):
    asked, encode = [], a_family.encode_prompts
    monkeypatch.setattr(a_family, "encode_prompts", lambda prompts: asked.extend(prompts) or encode(prompts))
    prompts = ["a page", "red", "green", "a page"]
    embeddings = PromptEmbeddings(a_family, cache_bytes=2 * encode(["red"]).nbytes)
    torch.testing.assert_close(embeddings.encode(prompts).embeddings, encode(prompts).embeddings)
    assert asked == ["a page", "red", "green"]
    embeddings.encode(["green", "red"])
    assert len(asked) == 3
    embeddings.encode(["a page"])
    assert len(asked) == 4
