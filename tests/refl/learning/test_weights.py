"""Which weights train: what asks for a gradient, what the reference is, and what a result is to others."""

import dataclasses
import json

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors import safe_open

from refl.learning.chance import rng_at
from refl.learning.config import TuningConfig
from refl.learning.families.loading import load_family
from refl.learning.families.lora import kohya_weights
from refl.learning.families.lora_files import DIFFUSERS, KOHYA
from refl.learning.methods import Batch
from refl.learning.methods.refl import ReFL
from refl.learning.pairs import read_pairs
from refl.learning.tuner import Tuner
from refl.learning.weights import NoSuchLayer, Reference
from tests.refl.learning.conftest import rng

PROMPTS = ["a red page", "a green page"]
CONFIG = TuningConfig(
    weights="lora",
    lora_rank=4,
    lora_alpha=2.0,
    steps=3,
    late_steps=(1, 2),
    batch_size=2,
    learning_rate=0.05,
    reward_weight=1.0,
    ema=0.5,
)


def redness(prompts, images):
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


@pytest.fixture
def a_tuner(pipeline_folder):
    return lambda **changes: Tuner(
        dataclasses.replace(CONFIG, **changes), load_family(pipeline_folder, device="cpu")
    )


@pytest.fixture
def update(pairs_folder):
    """Make the n-th update of a tuner."""

    def make(tuner, number):
        ReFL(tuner, redness).update(Batch(PROMPTS, read_pairs(pairs_folder)[:2]), rng_at(0, number, range(2)))
        tuner.update_average()

    return make


def image_of(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    made = pipeline("a red page", num_inference_steps=3, generator=rng(1), output_type="pt")
    return made.images


def plain_pipeline(folder):
    return DiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_moves_its_matrices_and_nothing_else(a_tuner, update, checkpointing):
    tuner = a_tuner(gradient_checkpointing=checkpointing)
    denoiser = tuner.family.denoiser
    before = {name: weight.clone() for name, weight in denoiser.state_dict().items()}
    update(tuner, 0)
    moved = {name for name, weight in denoiser.state_dict().items() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if "lora_" in name}
    assert {p.numel() for p in tuner.weights.parameters} == {4 * 16, 4 * 32}  # (r, I) and (O, r)
    assert len(tuner.average.shadow_params) == len(tuner.weights.parameters) == len(moved)


def test_gradient_checkpointing_changes_no_gradient_of_lora(a_tuner, update):
    tuners = [a_tuner(gradient_checkpointing=on) for on in (False, True)]
    for tuner in tuners:
        update(tuner, 0)
        update(tuner, 1)
    first, second = (tuner.weights.state_dict() for tuner in tuners)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


def test_lora_begins_as_no_change_and_the_same_for_the_same_seed(a_tuner, pipeline_folder):
    first, second, other = a_tuner(), a_tuner(), a_tuner(seed=1)
    assert torch.equal(image_of(first.family.pipeline), image_of(plain_pipeline(pipeline_folder)))
    states = [tuner.weights.state_dict() for tuner in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_loras_matrices_are_float32_over_a_base_in_half_precision(pipeline_folder):
    family = load_family(pipeline_folder, device="cpu")
    family.denoiser.to(torch.bfloat16)
    tuner = Tuner(CONFIG, family)
    assert {p.dtype for p in tuner.weights.parameters} == {torch.float32}
    noise = torch.randn(2, *family.latent_shape, dtype=torch.bfloat16)
    output = family.predict(noise, torch.tensor(3), family.encode_prompts(PROMPTS).to(torch.bfloat16))
    output.float().square().mean().backward()
    assert sum(p.grad.abs().sum() for p in tuner.weights.parameters) > 0


@pytest.mark.parametrize("weights", ["all", "lora"])
@pytest.mark.parametrize("updates", [0, 1])
def test_the_reference_is_the_generator_as_it_was_when_it_was_made(a_tuner, update, weights, updates):
    tuner = a_tuner(weights=weights)
    for number in range(updates):
        update(tuner, number)
    start, reference = image_of(tuner.family.pipeline), Reference(tuner.weights)
    update(tuner, updates)
    tuned = image_of(tuner.family.pipeline)
    with reference.restored():
        assert not torch.is_grad_enabled()
        assert torch.equal(image_of(tuner.family.pipeline), start)
    assert torch.equal(image_of(tuner.family.pipeline), tuned)
    assert not torch.equal(tuned, start)


def test_the_state_of_a_run_that_stored_its_reference_too_is_read(a_tuner):
    first, second = a_tuner(weights="all"), a_tuner(weights="all")
    state = first.weights.state_dict()
    second.weights.load_state_dict(state | {f"reference.{name}": value + 1 for name, value in state.items()})
    assert all(torch.equal(value, state[name]) for name, value in second.weights.state_dict().items())


@pytest.mark.parametrize("weights", ["all", "lora"])
def test_a_gradient_that_was_begun_is_not_changed_by_the_reference(a_tuner, weights):
    tuner = a_tuner(weights=weights)
    family, text = tuner.family, tuner.family.encode_prompts(PROMPTS)
    noise = torch.randn(2, *family.latent_shape, generator=rng())
    for parameter in tuner.weights.parameters:
        torch.nn.init.normal_(parameter, std=0.1, generator=rng(1))
    reference, gradients = Reference(tuner.weights), []
    for parameter in tuner.weights.parameters:
        parameter.data.mul_(2)
    for uses_reference in (False, True):
        loss = family.predict(noise, torch.tensor(3), text).square().mean()
        if uses_reference:
            with reference.restored():
                family.predict(noise, torch.tensor(3), text)
        gradients.append(torch.autograd.grad(loss, tuner.weights.parameters, allow_unused=True))
    for alone, beside in zip(*gradients, strict=True):
        assert alone is beside is None or torch.equal(alone, beside)


def test_a_resumed_lora_goes_on_with_equal_numbers(a_tuner, update):
    whole, first, second = a_tuner(), a_tuner(), a_tuner()
    update(whole, 0)
    update(whole, 1)
    update(first, 0)
    second.load_state_dict(first.state_dict(), 1)
    update(second, 1)
    for expected, value in zip(whole.weights.parameters, second.weights.parameters, strict=True):
        assert torch.equal(expected, value)


@pytest.mark.parametrize("file", [None, KOHYA])
def test_diffusers_makes_the_tuned_images_from_the_base_and_either_file(
    a_tuner, update, pipeline_folder, tmp_path, file
):
    tuner = a_tuner()
    update(tuner, 0)
    tuner.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [KOHYA, DIFFUSERS]
    base = plain_pipeline(pipeline_folder)
    start = image_of(base)
    base.load_lora_weights(tmp_path, weight_name=file)
    with tuner.averaged():
        tuned = image_of(tuner.family.pipeline)
    assert (image_of(base) - tuned).abs().max() < 1e-5
    assert (start - tuned).abs().max() > 0.01
    base.fuse_lora()
    base.unload_lora_weights()
    assert (image_of(base) - tuned).abs().max() < 1e-4


def test_a_saved_lora_says_how_large_it_is_and_what_it_changes(a_tuner, tmp_path):
    a_tuner().save(tmp_path)
    with safe_open(tmp_path / DIFFUSERS, "pt") as file:
        adapter = json.loads(file.metadata()["lora_adapter_metadata"])
    assert adapter == {
        "unet.r": 4,
        "unet.lora_alpha": 2.0,
        "unet.target_modules": ["to_q", "to_k", "to_v", "to_out.0"],
    }
    with safe_open(tmp_path / KOHYA, "pt") as file:
        said = file.metadata()
    assert (said["ss_network_dim"], said["ss_network_alpha"]) == ("4", "2.0")
    assert said["ss_network_module"] == "networks.lora"


def test_kohyas_names_are_those_of_the_unets_layers_with_underscores():
    down, up = torch.ones(2, 3), torch.ones(5, 2)
    named = kohya_weights({"mid.0.to_out.0.lora_A.weight": down, "mid.0.to_out.0.lora_B.weight": up}, 8)
    layer = "lora_unet_mid_0_to_out_0"
    assert named.keys() == {f"{layer}.lora_down.weight", f"{layer}.lora_up.weight", f"{layer}.alpha"}
    assert named[f"{layer}.lora_down.weight"] is down
    assert named[f"{layer}.alpha"].item() == 8


def test_other_layers_can_be_trained_and_their_files_fit(a_tuner, update, pipeline_folder, tmp_path):
    tuner = a_tuner(lora_targets=("to_v", "ff.net.2", "conv1"), ema=0.0)
    update(tuner, 0)
    tuner.save(tmp_path)
    tuned = image_of(tuner.family.pipeline)
    for file in (None, KOHYA):
        base = plain_pipeline(pipeline_folder)
        base.load_lora_weights(tmp_path, weight_name=file)
        assert (image_of(base) - tuned).abs().max() < 1e-5


def test_a_layer_that_the_denoiser_has_not_is_refused(a_tuner):
    with pytest.raises(NoSuchLayer, match="UNet2DConditionModel has no layer to_z"):
        a_tuner(lora_targets=("to_q", "to_z"))
