"""Pretraining the generator: what it is shown, how pictures become its code, and that it starts to learn."""

import json
from random import Random

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from demo.pretraining.autoencoder import AutoencoderConfig, draw, fit_code
from demo.pretraining.denoiser import DenoiserConfig, misstated_caption
from demo.pretraining.generator import draw_scenes, pretraining_pairs, save, train_generator
from demo.pretraining.tokens import LENGTH, build_tokenizer
from demo.world.captions import Split, every_statement, parse, split_of
from demo.world.scenes import caption


def test_each_word_of_a_caption_is_one_token_and_every_caption_fits():
    tokenizer = build_tokenizer()
    for statement in list(every_statement())[::40]:
        text = str(statement)
        tokens = tokenizer(text).input_ids
        assert len(tokens) == len(text.split()) + 2 <= LENGTH
        assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == text


def test_the_generator_is_shown_its_own_captions_only_also_misstated():
    generator = Random(0)
    scenes = draw_scenes(200, generator)
    told = [misstated_caption(scene.statement, generator) for scene in scenes]
    assert {split_of(text) for text in told} == {Split.GENERATOR}
    assert {split_of(caption(scene)) for scene in scenes} == {Split.GENERATOR}
    wrong = sum(text != caption(scene) for text, scene in zip(told, scenes, strict=True)) / 200
    assert 0.5 < wrong < 0.95


def test_pairs_are_written_with_misstated_captions(tmp_path):
    lines = [json.loads(line) for line in pretraining_pairs(tmp_path, 20, Random(0)).read_text().splitlines()]
    assert len(lines) == 20
    for line in lines:
        assert set(line) == {"file", "prompt"}
        assert Image.open(tmp_path / line["file"]).size == (64, 64)
        assert parse(line["prompt"])


def test_the_code_keeps_nearly_all_of_a_picture():
    pixels = draw(draw_scenes(300, Random(0)))
    code = fit_code(pixels)
    codes = code.encode(pixels)
    assert codes.shape == (300, 16, 8, 8)
    assert codes.std().item() == pytest.approx(1, abs=0.02)
    flat = codes.permute(0, 2, 3, 1).reshape(-1, 16)
    patches = pixels.reshape(300, 3, 8, 8, 8, 8).permute(0, 2, 4, 1, 3, 5).reshape(-1, 192) - code.mean
    kept = patches - flat @ torch.linalg.lstsq(flat, patches).solution
    assert kept.var() < 0.05 * patches.var()


def test_a_few_steps_make_a_pipeline_that_loads(tmp_path):
    from diffusers import StableDiffusionPipeline

    losses = {"encoder": [], "decoder": [], "denoiser": []}
    torch.set_num_threads(1)
    pipeline = train_generator(
        scenes=100,
        autoencoding=AutoencoderConfig(encoder_steps=30, decoder_steps=3, batch=4),
        denoising=DenoiserConfig(steps=2, batch=4),
        seed=0,
        on_step=lambda part, step, loss: losses[part].append(loss),
    )
    save(pipeline, tmp_path)
    assert [len(steps) for steps in losses.values()] == [30, 3, 2]
    assert losses["encoder"][-1] < losses["encoder"][0]
    StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None, local_files_only=True)
    for file in tmp_path.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
