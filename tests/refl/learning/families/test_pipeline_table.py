"""Every kind of pipeline that people have: what is loaded, and what is refused with which line."""

import json
import re
import shutil
from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file

from refl.learning.config import TuningConfig
from refl.learning.families import FAMILIES, NotAPipeline
from refl.learning.families.forms import FORMS
from refl.learning.families.inspection import inspect_pipeline
from refl.learning.families.loading import check_pipeline, load_family
from refl.learning.sampling import grid, sample
from refl.learning.training import tune
from tests.refl.learning.conftest import build_pipeline

PROMPTS = ["a red page", "a green page"]
UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture
def folder(pipeline_folder, tmp_path):
    """A copy of the pipeline that a test may spoil."""
    return shutil.copytree(pipeline_folder, tmp_path / "pipeline")


def edit(file, **changes):
    """Change fields of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def edit_tensors(file, change):
    """Change a file of tensors, given by name."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


def set_scheduler(folder, name, **config):
    edit(folder / "model_index.json", scheduler=["diffusers", name])
    edit(folder / "scheduler" / "scheduler_config.json", _class_name=name, **config)


def use(folder, tmp_path, pairs_folder):
    """Load, sample, tune by an update, save, load what was saved, and sample that."""
    config = TuningConfig(
        steps=3,
        late_steps=(1, 1),
        batch_size=2,
        updates=1,
        sample_prompts=2,
        sample_steps=2,
        sample_guidance=2.0,
        guard_every=0,
    )
    updates = []
    result = tune(
        config,
        pipeline=folder,
        reward=lambda prompts, images: images.mean((1, 2, 3)),
        prompts=PROMPTS,
        pretraining=pairs_folder,
        folder=tmp_path / "run",
        on_step=updates.append,
        should_stop=lambda: False,
        device="cpu",
    )
    assert updates[0].measures["reward_gradient"] > 0 < updates[0].measures["pretraining_gradient"]
    again = load_family(result, "cpu")
    images = list(sample(again, PROMPTS, [0, 1], steps=2, guidance_scale=2.0, batch_size=2))
    assert images[0].tobytes() != images[1].tobytes()
    with Image.open(tmp_path / "run" / "samples" / "step-000001.png") as tuned:
        assert tuned.tobytes() == grid(images).tobytes()
    return again


# What is loaded, sampled, tuned, saved and loaded again.


@pytest.mark.parametrize(
    "name",
    [
        *("DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler"),
        *("HeunDiscreteScheduler", "UniPCMultistepScheduler", "DDPMScheduler", "LCMScheduler"),
        "DPMSolverMultistepScheduler",
    ],
)
def test_the_common_schedulers(folder, tmp_path, pairs_folder, name):
    karras = {"use_karras_sigmas": True} if name == "DPMSolverMultistepScheduler" else {}
    set_scheduler(folder, name, skip_prk_steps=True, set_alpha_to_one=None, clip_sample=None, **karras)
    again = use(folder, tmp_path, pairs_folder)
    assert type(again.pipeline.scheduler).__name__ == name


def test_velocity(pipeline_folders, tmp_path, pairs_folder):
    use(pipeline_folders["v_prediction"], tmp_path, pairs_folder)


def test_velocity_with_zero_signal_at_the_last_step(folder, tmp_path, pairs_folder):
    edit(
        folder / "scheduler" / "scheduler_config.json",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    use(folder, tmp_path, pairs_folder)


def test_the_class_of_image_to_image(folder, tmp_path, pairs_folder):
    edit(folder / "model_index.json", _class_name="StableDiffusionImg2ImgPipeline")
    use(folder, tmp_path, pairs_folder)


@pytest.mark.parametrize(
    ("variant", "shard"), [(None, "10GB"), ("fp16", "10GB"), ("fp16", "100KB"), ("bf16", "100KB")]
)
def test_half_precision_under_any_names_whole_or_in_shards(tmp_path, pairs_folder, variant, shard):
    dtype = torch.bfloat16 if variant == "bf16" else torch.float16
    folder = tmp_path / "half"
    build_pipeline("epsilon").to(dtype).save_pretrained(folder, variant=variant, max_shard_size=shard)
    assert len(list(folder.glob("unet/*.safetensors"))) == (1 if shard == "10GB" else 5)
    again = use(folder, tmp_path, pairs_folder)
    assert {p.dtype for p in again.denoiser.parameters()} == {torch.float32}


def test_names_of_tensors_as_they_were_in_2022(folder, tmp_path, pairs_folder):
    """Stable Diffusion 1.5 as it lies on the hub."""

    def rename_text(tensors):
        for name in list(tensors):
            tensors[f"text_model.{name}"] = tensors.pop(name)
        tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]

    def rename_vae(tensors):
        for name in [name for name in tensors if ".attentions." in name]:
            new = name
            for now, then in (
                ("to_q", "query"),
                ("to_k", "key"),
                ("to_v", "value"),
                ("to_out.0", "proj_attn"),
            ):
                new = new.replace(now, then)
            tensors[new] = tensors.pop(name)

    edit_tensors(folder / TEXT, rename_text)
    edit_tensors(folder / "vae" / "diffusion_pytorch_model.safetensors", rename_vae)
    use(folder, tmp_path, pairs_folder)


def test_a_vocabulary_in_two_files(folder, tmp_path, pairs_folder):
    vocabulary = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    use(folder, tmp_path, pairs_folder)


def test_a_lora_that_was_fused(folder, tmp_path, pairs_folder):
    pipeline = with_lora(folder)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    pipeline.save_pretrained(tmp_path / "fused")
    use(tmp_path / "fused", tmp_path, pairs_folder)


def with_lora(folder):
    from peft import LoraConfig

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    return pipeline


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_a_safety_checker_is_not_loaded_and_not_lost(folder, tmp_path, pairs_folder, variant):
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision = {**tiny, "image_size": 16, "patch_size": 8}
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=tiny, vision_config=vision, projection_dim=8)
    )
    checker.save_pretrained(folder / "safety_checker", variant=variant)
    CLIPImageProcessor(size=16, crop_size=16).save_pretrained(folder / "feature_extractor")
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )
    assert use(folder, tmp_path, pairs_folder).pipeline.safety_checker is None
    whole = StableDiffusionPipeline.from_pretrained(tmp_path / "run" / "pipeline", use_safetensors=True)
    assert whole.config.requires_safety_checker
    assert type(whole.feature_extractor).__name__.startswith("CLIPImageProcessor")
    for name, tensor in checker.state_dict().items():
        torch.testing.assert_close(whole.safety_checker.state_dict()[name], tensor)


# What is refused, when it is registered already.


def add_channels(folder, channels):
    config = UNet2DConditionModel.load_config(folder, subfolder="unet")
    UNet2DConditionModel.from_config(config, in_channels=channels).save_pretrained(folder / "unet")


def add_guidance_input(folder):
    config = UNet2DConditionModel.load_config(folder, subfolder="unet")
    UNet2DConditionModel.from_config(config, time_cond_proj_dim=8).save_pretrained(folder / "unet")


def pickle_weights(folder):
    torch.save(load_file(folder / UNET), folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def cut_off(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])


def lose_a_shard(folder):
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    (folder / UNET).unlink()
    pipeline.unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    next(folder.glob("unet/*-00003-of-*")).unlink()


def lose_a_tensor_of_shards(folder):
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    (folder / UNET).unlink()
    pipeline.unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    edit_tensors(next(folder.glob("unet/*-00003-of-*")), lambda tensors: tensors.popitem())


def keep_one_file(folder):
    shutil.move(folder / UNET, folder / "sd15.safetensors")
    (folder / "model_index.json").unlink()


def halve_vocabulary(folder):
    file = folder / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] = dict(list(content["model"]["vocab"].items())[:20])
    file.write_text(json.dumps(content))


def quantise(folder):
    def round_off(tensors):
        tensors["conv_in.weight"] = tensors["conv_in.weight"].to(torch.int8)

    edit_tensors(folder / UNET, round_off)


REFUSED = {
    "SDXL, its UNet": (
        lambda f: edit(f / "unet" / "config.json", addition_embed_type="text_time"),
        "unet/config.json: addition_embed_type is 'text_time': SDXL's UNet; use StableDiffusionXLPipeline",
    ),
    "PixArt": (
        lambda f: edit(f / "model_index.json", _class_name="PixArtAlphaPipeline"),
        "model_index.json: PixArtAlphaPipeline is of no family known here; there are StableDiffusion",
    ),
    "a class of somebody's own": (
        lambda f: edit(f / "model_index.json", _class_name="SomebodysOwnPipeline"),
        "model_index.json: SomebodysOwnPipeline is of no family known here",
    ),
    "inpainting": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionInpaintPipeline"),
        "model_index.json: StableDiffusionInpaintPipeline is of no family known here",
    ),
    "inpainting under another class": (
        lambda f: add_channels(f, 9),
        "unet/config.json: in_channels is 9, but the VAE's latents have 4: an inpainting UNet",
    ),
    "pix2pix": (
        lambda f: add_channels(f, 8),
        "unet/config.json: in_channels is 8, but the VAE's latents have 4: an InstructPix2Pix UNet",
    ),
    "a latent consistency model": (
        add_guidance_input,
        "unet/config.json: time_cond_proj_dim is 8: the UNet of a latent consistency model",
    ),
    "a UNet with classes": (
        lambda f: edit(f / "unet" / "config.json", num_class_embeds=10),
        "unet/config.json: num_class_embeds is 10: the UNet takes more than a prompt",
    ),
    "the prediction of samples": (
        lambda f: edit(f / "scheduler" / "scheduler_config.json", prediction_type="sample"),
        "scheduler/scheduler_config.json: prediction_type is 'sample': 'epsilon' and 'v_prediction' can",
    ),
    "flow matching": (
        lambda f: set_scheduler(f, "FlowMatchEulerDiscreteScheduler"),
        "model_index.json: scheduler is FlowMatchEulerDiscreteScheduler, of another kind of noise; save the "
        "pipeline with DDIMScheduler",
    ),
    "flow matching by another scheduler": (
        lambda f: set_scheduler(f, "UniPCMultistepScheduler", prediction_type="flow_prediction"),
        "scheduler/scheduler_config.json: prediction_type is 'flow_prediction'",
    ),
    "text of another width": (
        lambda f: edit(f / "unet" / "config.json", cross_attention_dim=768),
        "unet/config.json: cross_attention_dim is 768, but the text encoder's hidden size is 16",
    ),
    "no text encoder": (
        lambda f: edit(f / "model_index.json", text_encoder=[None, None]),
        "model_index.json: text_encoder is left out",
    ),
    "another VAE": (
        lambda f: edit(f / "model_index.json", vae=["diffusers", "AutoencoderTiny"]),
        "model_index.json: vae is AutoencoderTiny; wanted AutoencoderKL",
    ),
    "pickles": (
        pickle_weights,
        "unet/: its weights are diffusion_pytorch_model.bin alone, a pickle, which is a program and is never",
    ),
    "no weights": (
        lambda f: (f / UNET).unlink(),
        "unet/: no weights; wanted diffusion_pytorch_model.safetensors",
    ),
    "weights under another name": (
        lambda f: (f / UNET).rename(f / "unet" / "model.safetensors"),
        "unet/: no weights; wanted diffusion_pytorch_model.safetensors, there is model.safetensors",
    ),
    "weights cut off": (
        lambda f: cut_off(f / UNET, 0.9),
        "unet/diffusion_pytorch_model.safetensors: has 742,809 bytes of 825,344; fetch or save it again",
    ),
    "a header cut off": (
        lambda f: cut_off(f / UNET, 0.001),
        "unet/diffusion_pytorch_model.safetensors: not safetensors (it has no header)",
    ),
    "the page of a download that failed": (
        lambda f: (f / UNET).write_text("<html><body>Please sign in</body></html>"),
        "unet/diffusion_pytorch_model.safetensors: not safetensors (it has no header)",
    ),
    "a pointer of Git LFS": (
        lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "unet/diffusion_pytorch_model.safetensors: not safetensors",
    ),
    "an empty file": (
        lambda f: (f / UNET).write_bytes(b""),
        "unet/diffusion_pytorch_model.safetensors: not safetensors",
    ),
    "a shard too few": (
        lose_a_shard,
        "unet/diffusion_pytorch_model-00003-of-00010.safetensors: it is missing, and "
        "diffusion_pytorch_model.safetensors.index.json names it",
    ),
    "a tensor too few in a shard": (
        lose_a_tensor_of_shards,
        "unet/diffusion_pytorch_model.safetensors.index.json: no shard has ",
    ),
    "quantised weights": (quantise, "conv_in.weight is I8: quantised weights cannot be tuned"),
    "a quantised configuration": (
        lambda f: edit(f / "unet" / "config.json", quantization_config={"quant_method": "bitsandbytes"}),
        "unet/config.json: quantization_config: quantised weights cannot be tuned",
    ),
    "a LoRA that was not fused": (
        lambda f: with_lora(f).save_pretrained(f),
        "saved with a LoRA that was not fused; load the pipeline, call fuse_lora()",
    ),
    "no vocabulary": (
        lambda f: (f / "tokenizer" / "tokenizer.json").unlink(),
        "tokenizer/vocab.json: it is missing, and without its vocabulary no word is known",
    ),
    "half a vocabulary": (
        halve_vocabulary,
        "tokenizer/: its vocabulary has 20 tokens, but text_encoder has 54",
    ),
    "a vocabulary that is cut off": (
        lambda f: cut_off(f / "tokenizer" / "tokenizer.json", 0.5),
        "tokenizer/tokenizer.json: not readable as JSON",
    ),
    "a tokenizer without a length": (
        lambda f: edit(f / "tokenizer" / "tokenizer_config.json", model_max_length=None),
        "tokenizer/tokenizer_config.json: model_max_length is None: set it to 16 tokens",
    ),
    "a tokenizer longer than its encoder": (
        lambda f: edit(f / "tokenizer" / "tokenizer_config.json", model_max_length=77),
        "tokenizer/tokenizer_config.json: model_max_length is 77: set it to 16 tokens",
    ),
    "a configuration that is no JSON": (
        lambda f: (f / "vae" / "config.json").write_text("{"),
        "vae/config.json: not readable as JSON",
    ),
    "a configuration that is missing": (
        lambda f: (f / "vae" / "config.json").unlink(),
        "vae/config.json: it is missing",
    ),
    "a configuration that is a list": (
        lambda f: (f / "vae" / "config.json").write_text("[]"),
        "vae/config.json: not an object of JSON",
    ),
    "no model_index.json": (
        lambda f: (f / "model_index.json").unlink(),
        "no model_index.json in it: name a folder that save_pretrained of a diffusers pipeline wrote",
    ),
    "a single file in a folder": (
        keep_one_file,
        "no model_index.json in it: sd15.safetensors: a single file is not read; make a folder of it once: "
        "StableDiffusionPipeline.from_single_file",
    ),
    "a UNet alone": (
        lambda f: [(f / "model_index.json").unlink(), shutil.copy(f / "unet" / "config.json", f)],
        "no model_index.json in it: it holds a single model; name the folder of the whole pipeline",
    ),
    "the folder above": (
        lambda f: shutil.copytree(f, f / "v1") and (f / "model_index.json").unlink(),
        "no model_index.json in it: name the folder v1 in it, which has one",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_without_torch_by_name(folder, kind):
    spoil, line = REFUSED[kind]
    spoil(folder)
    with pytest.raises(NotAPipeline, match=re.escape(line)) as refusal:
        inspect_pipeline(folder)
    said = str(refusal.value)
    assert said.startswith(f"{folder}: ")
    assert "\n" not in said
    with pytest.raises(NotAPipeline, match=re.escape(said)):
        load_family(folder, "cpu")


@pytest.mark.parametrize(
    ("name", "config"),
    [("LMSDiscreteScheduler", {}), ("EulerDiscreteScheduler", {"use_beta_sigmas": True})],
)
def test_a_scheduler_that_needs_scipy_says_so_where_there_is_none(folder, name, config):
    if diffusers.utils.is_scipy_available():
        pytest.skip("scipy is installed")
    set_scheduler(folder, name, **config)
    with pytest.raises(
        NotAPipeline, match=rf"{name} needs scipy, which is not installed: `pip install scipy`"
    ):
        load_family(folder, "cpu")


# What only its tensors say: looked at by the command that registers, and by whatever loads.


def lack(name):
    return lambda tensors: tensors.pop(name)


def swap(name, value):
    return lambda tensors: tensors.update({name: value})


@pytest.mark.parametrize(
    ("file", "change", "line"),
    [
        (UNET, lack("conv_out.bias"), "unet: diffusion_pytorch_model.safetensors lacks conv_out.bias; fetch"),
        (TEXT, lack("final_layer_norm.bias"), "text_encoder: model.safetensors lacks final_layer_norm.bias"),
        (
            UNET,
            swap("conv_out.bias", torch.zeros(7)),
            "has, in other shapes than its configuration says, conv_out.bias (7,) in place of (4,)",
        ),
        (
            TEXT,
            swap("final_layer_norm.bias", torch.zeros(7)),
            "has, in other shapes than its configuration says, final_layer_norm.bias (7,) in place of (16,)",
        ),
        (
            UNET,
            swap("ip_adapter.1.weight", torch.zeros(7)),
            "has, and its configuration does not ask for, ip_adapter.1.weight; fetch",
        ),
    ],
)
def test_a_tensor_is_never_made_up_nor_passed_over(folder, file, change, line):
    edit_tensors(folder / file, change)
    inspect_pipeline(folder)
    for look in (check_pipeline, load_family):
        with pytest.raises(NotAPipeline, match=re.escape(line)):
            look(folder)


def test_a_configuration_that_diffusers_cannot_build_from(folder):
    edit(folder / "unet" / "config.json", norm_num_groups=7)
    with pytest.raises(NotAPipeline, match="unet: diffusers cannot make it from its files"):
        check_pipeline(folder)


def test_merges_of_another_vocabulary(folder):
    edit_json = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    edit_json["model"]["merges"] = [["zz", "zz"]]
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(edit_json))
    with pytest.raises(NotAPipeline, match="tokenizer: diffusers cannot make it from its files"):
        check_pipeline(folder)


def test_weights_that_are_not_finite(folder):
    edit_tensors(folder / UNET, swap("conv_out.bias", torch.tensor([0.0, float("nan"), 0.0, 0.0])))
    with pytest.raises(NotAPipeline, match=r"unet: conv_out\.bias is not finite"):
        load_family(folder, "cpu")


# Names of pipelines.


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("/no/such/folder", "/no/such/folder: no such folder"),
        ("./models/sd15", "./models/sd15: no such folder"),
        ("models/sd15/v2", "models/sd15/v2: no such folder"),
        ("sd15", "sd15: no such folder, and a hub id is owner/name or owner/name@revision"),
        (
            "models/sd15.safetensors",
            "models/sd15.safetensors: a single file is not read; make a folder of it",
        ),
        ("sd15.ckpt", "sd15.ckpt: a single file is not read"),
        (
            "somebody/sd15",
            "somebody/sd15: no such folder, and the hub is not asked while HF_HUB_OFFLINE is set",
        ),
    ],
)
def test_a_name_of_nothing_is_refused(monkeypatch, tmp_path, name, line):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotAPipeline, match=re.escape(line)):
        load_family(name, "cpu")


def test_every_family_says_what_its_folders_hold():
    assert FORMS.keys() == FAMILIES.keys()


def test_what_a_pipeline_is_can_be_read(pipeline_folder):
    inspection = inspect_pipeline(Path(pipeline_folder))
    assert str(inspection) == "StableDiffusionPipeline, DDIMScheduler, epsilon, 4 channels"
