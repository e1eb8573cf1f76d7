"""A Stable Diffusion pipeline of official parts, random and tiny, and captioned images to keep it so."""

import json
import string

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from refl.learning.chance import rng_at
from refl.learning.families.loading import load_family

COLOURS = ("red", "green", "blue", "white")


def some_noise(count, seed=0):
    """Latents of the tiny pipeline."""
    return torch.randn(count, 4, 8, 8, generator=rng(seed))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def rngs(count, seed=0):
    """The generators of an update's samples."""
    return rng_at(seed, 0, range(count))


@pytest.fixture(autouse=True)
def _one_thread_offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build_tokenizer():
    letters = list(string.ascii_lowercase)
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[], model_max_length=16)


def text_config(**changes):
    settings = {
        "vocab_size": 54,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    return CLIPTextConfig(**settings | changes)


def build_unet(**changes):
    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**settings | changes)


def build_vae(**changes):
    settings = {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "latent_channels": 4,
        "norm_num_groups": 4,
        "sample_size": 16,
    }
    return AutoencoderKL(**settings | changes)


def build_pipeline(prediction_type, **scheduling):
    torch.manual_seed(0)
    unet, vae = build_unet(), build_vae()
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
        **scheduling,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text_config()),
        tokenizer=build_tokenizer(),
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@pytest.fixture(scope="session")
def pipeline_folders(tmp_path_factory):
    """Saved pipelines by prediction type."""
    folders = {}
    for kind in ("epsilon", "v_prediction"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        build_pipeline(kind).save_pretrained(folders[kind])
    return folders


@pytest.fixture(scope="session")
def pipeline_folder(pipeline_folders):
    return pipeline_folders["epsilon"]


@pytest.fixture
def a_family(pipeline_folder):
    return load_family(pipeline_folder, device="cpu")


@pytest.fixture
def calls(a_family):
    """The batch sizes of the UNet's calls, in order, and whether each had a gradient."""
    seen = []
    a_family.denoiser.register_forward_pre_hook(
        lambda module, args: seen.append((len(args[0]), torch.is_grad_enabled()))
    )
    return seen


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """Four plain images, 16 pixels wide, one of them larger, and their captions."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for colour in COLOURS:
        side = 24 if colour == "blue" else 16
        Image.new("RGB", (side, side), colour).save(folder / f"{colour}.png")
        rows.append(json.dumps({"file": f"{colour}.png", "prompt": f"a {colour} page"}))
    (folder / "pairs.jsonl").write_text("\n".join(rows) + "\n")
    return folder
