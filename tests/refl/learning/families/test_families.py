"""What every family promises, of every kind of pipeline: agree with diffusers, and save what is tuned."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling

from refl.learning.config import TuningConfig
from refl.learning.denoising import Rollout
from refl.learning.families import NotAPipeline, Unsupported
from refl.learning.families.conditioning import TextConditioning, concatenate
from refl.learning.families.flow_matching import FlowMatching, shift_sigmas
from refl.learning.families.flux import pack, patch_places, unpack
from refl.learning.families.inspection import inspect_pipeline
from refl.learning.families.latent_diffusion import denormalise_latents, normalise_latents
from refl.learning.families.loading import LIBRARIES, load_family
from refl.learning.methods import Batch
from refl.learning.methods.refl import ReFL
from refl.learning.methods.steps import denoising_losses
from refl.learning.pairs import read_pairs
from refl.learning.prompts import describe_cut
from refl.learning.sampling import sample
from refl.learning.training import tune
from refl.learning.tuner import Tuner
from rewardmodel.learning.quiet import quiet
from tests.refl.learning.conftest import rng, rngs, some_noise
from tests.refl.learning.families.pipelines import KINDS

PROMPTS = ["a red page", "a green page"]
FLOWS = [kind for kind in KINDS if kind.startswith(("sd3", "flux"))]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_flow = pytest.mark.parametrize("kind", FLOWS)


def sampler_of(family):
    return "euler" if isinstance(family, FlowMatching) else "ddim"


def x0_of_diffusers(family, noisy, output, timestep):
    scheduler = family.scheduler(sampler_of(family), 5)
    if sampler_of(family) == "ddim":
        return scheduler.step(output, timestep, noisy).pred_original_sample
    # Its stochastic step adds noise to the x0 that it predicts, and can be undone.
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(scheduler.config, stochastic_sampling=True)
    scheduler.set_timesteps(**family.schedule(5))
    left = scheduler.sigmas[scheduler.index_for_timestep(timestep) + 1]
    stepped = scheduler.step(output, timestep, noisy, generator=rng(7)).prev_sample
    return (stepped - left * torch.randn(noisy.shape, generator=rng(7))) / (1 - left)


@each_kind
def test_the_predicted_x0_is_that_of_diffusers_at_every_step(family_of, kind):
    family = family_of(kind)
    noisy, output = some_noise(2), some_noise(2, seed=1)
    for timestep in family.scheduler(sampler_of(family), 5).timesteps:
        predicted = family.predict_x0(noisy, output, timestep.expand(2))
        torch.testing.assert_close(predicted, x0_of_diffusers(family, noisy, output, timestep))


@each_kind
def test_a_denoiser_that_answers_the_target_recovers_the_image(family_of, kind):
    family = family_of(kind)
    latents, noise = some_noise(4), some_noise(4, seed=1)
    timesteps = family.random_timesteps(rngs(4))
    noisy = family.add_noise(latents, noise, timesteps)
    target = family.training_target(latents, noise, timesteps)
    recovered = family.predict_x0(noisy, target, timesteps)
    torch.testing.assert_close(recovered, latents, rtol=1e-3, atol=1e-3)


@each_kind
@pytest.mark.parametrize("guidance_scale", [1.0, 2.5])
def test_a_whole_rollout_is_the_pipelines_own_sampling(family_of, kind, guidance_scale):
    family = family_of(kind)
    scheduler = family.scheduler(sampler_of(family), 4)
    own = family.pipeline(
        PROMPTS,
        num_inference_steps=4,
        guidance_scale=guidance_scale,
        height=16,
        width=16,
        generator=rng(),
        output_type="latent",
    ).images
    if "flux" in kind:
        own = unpack(own, 8, 8)
    rollout = Rollout(family, scheduler, guidance_scale)
    text, exit_steps = family.encode_prompts(PROMPTS), torch.tensor([4, 4])
    for _ in range(2):  # a scheduler that is used again starts again
        latents = rollout.denoise_to(exit_steps, some_noise(2), text, rngs(2))
        torch.testing.assert_close(latents, own, rtol=1e-4, atol=1e-4)


GUIDED_BY_THE_EMPTY_PROMPT = [kind for kind in KINDS if not kind.startswith("flux")]


def negative_of_diffusers(family):
    """What the pipeline puts in place of a negative prompt when it is given none."""
    asked = {"prompt": "a page", "device": "cpu", "num_images_per_prompt": 1}
    others = {"prompt_2": None, "prompt_3": None} if isinstance(family, FlowMatching) else {}
    _, embeddings, *pooled = family.pipeline.encode_prompt(
        **asked, **others, do_classifier_free_guidance=True
    )
    return TextConditioning(embeddings, pooled[1] if pooled else None)


def assert_texts_are_close(text, expected):
    torch.testing.assert_close(text.embeddings, expected.embeddings)
    if expected.pooled is not None:
        torch.testing.assert_close(text.pooled, expected.pooled)


@pytest.mark.parametrize("kind", GUIDED_BY_THE_EMPTY_PROMPT)
def test_the_empty_prompt_is_what_diffusers_leads_away_from(family_of, kind):
    family = family_of(kind)
    expected = negative_of_diffusers(family)
    assert_texts_are_close(family.unconditional, expected)
    among_others = family.encode_prompts(["a red page", "", "a green page"])
    assert_texts_are_close(among_others[1:2], expected)
    assert_texts_are_close(among_others[::2], family.encode_prompts(["a red page", "a green page"]))
    assert bool((expected.embeddings == 0).all()) == (kind == "sdxl")


@pytest.mark.parametrize("kind", ["sdxl", "sdxl, empty prompt"])
def test_a_caption_that_is_left_out_reaches_the_denoiser_as_the_unconditional(family_of, pairs_folder, kind):
    family, texts = family_of(kind), []
    config = replace(CONFIG, empty_prompts=1.0, gradient_checkpointing=False)

    def read(denoiser, args, inputs):
        texts.append(TextConditioning(args[2], inputs["added_cond_kwargs"]["text_embeds"]))

    family.denoiser.register_forward_pre_hook(read, with_kwargs=True)
    denoising_losses(Tuner(config, family), read_pairs(pairs_folder)[:2], rngs(2))
    assert_texts_are_close(texts[0], negative_of_diffusers(family).expand(2))


@each_kind
def test_prompts_that_a_text_encoder_does_not_read_to_the_end_are_counted_for_each_encoder(family_of, kind):
    """Also when the pipeline samples: each is given so many tokens, however long the prompt."""
    family, lengths = family_of(kind), {}
    parts = family.pipeline.components
    assert family.text_limits.keys() == {name for name in parts if "text_encoder" in name and parts[name]}
    for name in family.text_limits:
        encoder = family.pipeline.components[name]

        def read(encoder, args, inputs, name=name):
            tokens = args[0] if args else inputs["input_ids"]
            lengths.setdefault(name, set()).add(tokens.shape[1])

        encoder.register_forward_pre_hook(read, with_kwargs=True)
    longest = max(family.text_limits.values())
    family.encode_prompts(["a" * longest])
    family.pipeline("a" * longest, num_inference_steps=1, height=16, width=16, output_type="latent")
    assert lengths == {name: {limit} for name, limit in family.text_limits.items()}

    for name, limit in family.text_limits.items():
        tokenizer = family.pipeline.components[name.replace("text_encoder", "tokenizer")]
        marks = len(tokenizer("a").input_ids) - 1
        said = f"1 of 2 prompts are longer than the {limit} tokens that the generator's {name} reads"
        for surplus in (0, 1):
            text = "a" * (limit - marks + surplus)
            lines = describe_cut(family.pipeline, family.text_limits, [text, "a"], what="prompts")
            assert sum(line.startswith(said) for line in lines) == surplus


@each_kind
def test_images_are_decoded_as_the_pipeline_decodes_them_and_encoded_back(family_of, kind):
    family = family_of(kind)
    settings = {"num_inference_steps": 2, "height": 16, "width": 16, "generator": rng()}
    images = family.pipeline(PROMPTS, output_type="pt", **settings).images
    latents = family.pipeline(PROMPTS, output_type="latent", **settings | {"generator": rng()}).images
    latents = unpack(latents, 8, 8) if "flux" in kind else latents
    torch.testing.assert_close(family.decode(latents), images, rtol=1e-4, atol=1e-5)

    encoded, vae = family.encode(2 * images - 1, rngs(2)), family.pipeline.vae
    drawn = vae.encode(2 * images - 1).latent_dist.sample(rngs(2))
    shift = vae.config.shift_factor or 0
    torch.testing.assert_close(encoded, (drawn - shift) * vae.config.scaling_factor)
    assert encoded.shape[1:] == family.latent_shape


@each_kind
def test_sampled_images_follow_from_prompt_and_seed(family_of, kind):
    family = family_of(kind)
    settings = {"steps": 2, "guidance_scale": 2.0}
    together = list(sample(family, PROMPTS, [3, 4], batch_size=2, **settings))
    alone = list(sample(family, PROMPTS[1:], [4], batch_size=1, **settings))
    assert [image.size for image in together] == [(16, 16)] * 2
    pixels = [torch.tensor(list(image.tobytes()), dtype=torch.int) for image in (*together, *alone)]
    assert (pixels[1] - pixels[2]).abs().max() <= 1
    assert (pixels[0] - pixels[1]).abs().max() > 1


TUNED = {
    "sd, zero snr": "float32",
    "sdxl": "bfloat16",
    "sd3, no t5": "float32",
    "sd3": "bfloat16",
    "flux dev": "bfloat16",
}
ROUNDING = {"float32": 0, "bfloat16": 2**-8}  # of frozen weights, which are held in that precision
CONFIG = TuningConfig(
    steps=3,
    late_steps=(1, 2),
    image_size=16,
    reward_weight=1.0,
    updates=1,
    batch_size=2,
    gradient_checkpointing=True,
    learning_rate=1e-3,
    sample_prompts=1,
    sample_steps=1,
)


def redness(prompts, images):
    return (images[:, 0] - images[:, 1:].mean(1)).mean((1, 2))


@pytest.mark.parametrize(("kind", "precision"), TUNED.items())
def test_a_tuned_pipeline_is_saved_whole_and_loaded_by_diffusers(
    saved, pairs_folder, tmp_path, kind, precision
):
    before = load_family(saved(kind), "cpu")
    measures = {}
    result = tune(
        replace(CONFIG, sampler=sampler_of(before), precision=precision),
        pipeline=saved(kind),
        reward=redness,
        prompts=PROMPTS,
        pretraining=pairs_folder,
        folder=tmp_path,
        on_step=lambda progress: measures.update(progress.measures),
        should_stop=lambda: False,
        device="cpu",
    )
    assert measures["reward_gradient"] > 0 < measures["pretraining_gradient"]

    index = json.loads((saved(kind) / "model_index.json").read_text())
    ends = json.loads((result / "model_index.json").read_text())
    assert {name: value for name, value in ends.items() if name != "_name_or_path"} == index
    absent = dict.fromkeys(name for name, part in index.items() if part == [None, None])
    plain = type(before.pipeline).from_pretrained(result, local_files_only=True, **absent)
    loaded = load_family(result, "cpu")
    for pipeline in (plain, loaded.pipeline):
        for name, part in before.pipeline.components.items():
            if isinstance(part, torch.nn.Module):
                state = getattr(pipeline, name).state_dict()
                is_moved = any(
                    not torch.allclose(state[key].float(), value.float(), rtol=ROUNDING[precision], atol=0)
                    for key, value in part.state_dict().items()
                )
                assert is_moved == (name == before.denoiser_name)
    loaded.resize(16)
    assert len(list(sample(loaded, PROMPTS, [0, 1], steps=1, guidance_scale=1.0, batch_size=2))) == 2


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux dev"])
def test_a_tuned_lora_is_read_by_diffusers(saved, pairs_folder, tmp_path, kind):
    family = load_family(saved(kind), "cpu")
    config = replace(CONFIG, sampler=sampler_of(family), weights="lora", lora_rank=2, learning_rate=0.1)
    tuner = Tuner(config, family)
    ReFL(tuner, redness).update(Batch(prompts=PROMPTS, pairs=read_pairs(pairs_folder)[:2]), rngs(2))
    tuner.save(tmp_path)

    plain = load_family(saved(kind), "cpu")
    plain.resize(16)
    settings = {"steps": 1, "guidance_scale": 1.0, "batch_size": 1}
    [untuned] = sample(plain, PROMPTS[:1], [0], **settings)
    plain.pipeline.load_lora_weights(tmp_path)
    [loaded], [tuned] = (sample(each, PROMPTS[:1], [0], **settings) for each in (plain, family))
    assert loaded.tobytes() == tuned.tobytes() != untuned.tobytes()


@each_flow
def test_the_timesteps_of_a_flow_are_logit_normal_and_shifted_as_its_schedule_is(family_of, kind):
    family = family_of(kind)
    drawn = family.random_timesteps(rngs(20)) / 1000
    normal = torch.cat(
        [
            compute_density_for_timestep_sampling("logit_normal", 1, 0.0, 1.0, generator=generator)
            for generator in rngs(20)
        ]
    )
    torch.testing.assert_close(drawn, shift_sigmas(normal, family.shift))

    scheduler = family.pipeline.scheduler
    if scheduler.config.use_dynamic_shifting:
        torch.testing.assert_close(drawn, scheduler.time_shift(family.mu, 1.0, normal))
        assert family.shift == pytest.approx(1.6, abs=0.3)  # few tokens: near e to the base_shift of .5
    else:
        assert family.shift == scheduler.config.shift


@each_flow
def test_a_flow_adds_noise_as_its_scheduler_does(family_of, kind):
    family = family_of(kind)
    scheduler = family.pipeline.scheduler
    timesteps = scheduler.timesteps[[3, 700]]
    added = family.add_noise(some_noise(2), some_noise(2, seed=1), timesteps)
    theirs = scheduler.scale_noise(some_noise(2), timesteps, some_noise(2, seed=1))
    torch.testing.assert_close(added, theirs)


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        (
            "sd, epsilon",
            {"sampler": "euler"},
            "sampler 'euler': StableDiffusion is sampled by 'ddpm' or 'ddim'",
        ),
        ("sdxl", {"sampler": "euler"}, "StableDiffusionXL is sampled by"),
        (
            "sd3",
            {"sampler": "ddpm"},
            "sampler 'ddpm': StableDiffusion3 is a flow, which is sampled by 'euler'",
        ),
        ("flux schnell", {"sampler": "euler", "guidance_scale": 3.5}, "guidance_scale 3.5"),
    ],
)
def test_what_a_pipeline_cannot_be_tuned_with_is_refused_in_a_line(family_of, kind, asked, words):
    with pytest.raises(Unsupported, match=words):
        family_of(kind).check(TuningConfig(**asked))


@pytest.mark.parametrize(
    ("kind", "file", "field", "value", "words"),
    [
        ("sdxl", "unet/config", "in_channels", 9, "an inpainting UNet"),
        ("sdxl", "unet/config", "cross_attention_dim", 16, r"text encoder's hidden size is 16 \+ 16"),
        ("sdxl", "unet/config", "projection_class_embeddings_input_dim", 32, "a refiner's UNet"),
        ("sdxl", "unet/config", "addition_embed_type", "text", "no UNet of SDXL"),
        ("sdxl", "unet/config", "time_cond_proj_dim", 8, "latent consistency model"),
        ("sdxl", "scheduler/scheduler_config", "rescale_betas_zero_snr", True, "an image is not known"),
        ("sdxl", "model_index", "tokenizer", [None, None], "tokenizer is left out"),
        ("sd3", "transformer/config", "in_channels", 8, "in_channels is 8, but the VAE's latents have 4"),
        ("sd3", "transformer/config", "joint_attention_dim", 64, r"joint_attention_dim is 64, .* give 32"),
        ("sd3, no t5", "transformer/config", "pooled_projection_dim", 16, "the text encoders give 24"),
        ("sd3", "model_index", "scheduler", ["diffusers", "DDIMScheduler"], "of another kind of noise"),
        ("sd3", "model_index", "text_encoder_2", [None, None], "text_encoder_2 is left out"),
        ("flux dev", "transformer/config", "in_channels", 96, "in_channels is 96"),
        ("flux dev", "transformer/config", "pooled_projection_dim", 24, "the text encoders give 16"),
    ],
)
def test_a_folder_that_cannot_be_tuned_is_refused_at_the_door(
    saved, tmp_path, kind, file, field, value, words
):
    folder = shutil.copytree(saved(kind), tmp_path / "pipeline")
    assert inspect_pipeline(folder).channels == 4
    config = folder / f"{file}.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {field: value}))
    with pytest.raises(NotAPipeline, match=words):
        inspect_pipeline(folder)


def test_another_size_is_taken_where_it_can_be_made(family_of):
    family = family_of("flux dev")
    family.resize(32)
    assert (family.image_size, family.latent_shape) == ((32, 32), (4, 16, 16))
    [image] = sample(family, PROMPTS[:1], [0], steps=1, guidance_scale=1.0, batch_size=1)
    assert image.size == (32, 32)
    with pytest.raises(Unsupported, match=r"image_size 20: .* multiples of 8 pixels"):
        family.resize(20)


def test_latents_are_packed_as_flux_packs_them(family_of):
    pipeline, latents = family_of("flux dev").pipeline, torch.randn(2, 4, 6, 8, generator=rng())
    assert torch.equal(pack(latents), pipeline._pack_latents(latents, 2, 4, 6, 8))
    assert torch.equal(unpack(pack(latents), 6, 8), latents)
    places = pipeline._prepare_latent_image_ids(2, 3, 4, "cpu", torch.float32)
    assert torch.equal(patch_places(6, 8).float(), places)


def test_latents_are_scaled_by_a_mean_and_a_deviation_where_a_vae_has_them():
    config = {"scaling_factor": 0.5, "latents_mean": [1.0, -2.0], "latents_std": [2.0, 4.0]}
    latents = torch.tensor([3.0, 6.0]).view(1, 2, 1, 1)
    normal = normalise_latents(latents, config)
    assert normal.flatten().tolist() == [(3 - 1) / 2 * 0.5, (6 + 2) / 4 * 0.5]
    assert torch.equal(denormalise_latents(normal, config), latents)


def test_encoded_prompts_are_indexed_moved_and_joined_by_sample():
    text = TextConditioning(torch.arange(12.0).view(3, 2, 2), torch.arange(3.0).view(3, 1))
    for rows in (slice(1, 3), [1, 2], torch.tensor([1, 2])):
        part = text[rows]
        assert len(part) == 2
        assert torch.equal(part.embeddings, text.embeddings[1:])
        assert part.pooled.flatten().tolist() == [1, 2]
    joined = concatenate([text[[2]].expand(2), text])
    assert joined.pooled.flatten().tolist() == [2, 2, 0, 1, 2]
    assert joined.embeddings.shape == (5, 2, 2)
    assert text.to("meta").pooled.device.type == "meta"
    bare = concatenate([TextConditioning(text.embeddings)] * 2)
    assert bare.pooled is None
    assert bare[:1].to(torch.float64).embeddings.dtype == torch.float64


def test_loading_leaves_the_libraries_progress_bars_as_they_were(saved):
    with quiet(*LIBRARIES):
        for library in LIBRARIES:
            library.enable_progress_bar()
        load_family(saved("sd, epsilon"))
        assert all(library.is_progress_bar_enabled() for library in LIBRARIES)
