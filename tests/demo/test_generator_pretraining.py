"""Pretraining the generator: what it is shown, how pictures become its code, and that it starts to learn."""

import json
from random import Random

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from demo.pretraining.autoencoder import AutoencoderConfig, draw, fit_code, weights_near_things
from demo.pretraining.denoiser import (
    DenoiserConfig,
    build_text_encoder,
    build_unet,
    draw_timesteps,
    misstated_caption,
    rate,
)
from demo.pretraining.generator import (
    LESSONS,
    Lesson,
    draw_scenes,
    is_pair_on_a_middle_line,
    pretraining_pairs,
    save,
    train_generator,
)
from demo.pretraining.layouts import PLACES, LayoutConfig, layout, learn_layouts, stated_background
from demo.pretraining.precision import FloatAttention, float_norms
from demo.pretraining.tokens import LENGTH, build_tokenizer
from demo.world.captions import BACKGROUNDS, COLOURS, SHAPES, Split, every_statement, parse, split_of
from demo.world.scenes import FEW_SPOTS, caption, scene_of


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
    assert 0.3 < wrong < 0.8


def test_the_generator_sees_things_at_few_places():
    scenes = draw_scenes(300, Random(0))
    places = {(thing.x, thing.y) for scene in scenes for thing in scene.things}
    assert places == {(x, y) for x in FEW_SPOTS for y in FEW_SPOTS}


def test_the_learning_rate_rises_holds_and_falls():
    config = DenoiserConfig(steps=100, warmup=10, hold=0.5)
    rates = [rate(step, config) for step in range(100)]
    assert rates[4] == pytest.approx(0.5)
    assert rates[10:50] == [1.0] * 40
    assert rates[75] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.02)


def test_most_timesteps_are_of_the_middle_until_the_learning_rate_falls():
    torch.manual_seed(0)
    config = DenoiserConfig(favoured=(300, 800), favoured_share=0.8)
    for factor, share in ((1.0, 0.8), (0.5, 0.4), (0.0, 0.0)):
        timesteps = draw_timesteps(4000, config, factor)
        assert timesteps.min() < 20
        assert timesteps.max() > 980
        inside = ((timesteps >= 300) & (timesteps < 800)).double().mean().item()
        assert inside == pytest.approx(share + (1 - share) * 0.5, abs=0.03)
    only = draw_timesteps(500, DenoiserConfig(favoured=(400, 1000), favoured_share=1.0), 1.0)
    assert only.min() >= 400


def test_large_single_things_are_learned_first_then_pairs_then_everything():
    scenes = draw_scenes(1000, Random(0))
    alone, pairs, everything = ([scene for scene in scenes if lesson.has(scene)] for lesson in LESSONS)
    assert {(thing.x, thing.y, thing.radius) for scene in alone for thing in scene.things} == {(32, 32, 17)}
    assert {thing.radius for scene in pairs for thing in scene.things} == {9}
    for first, second in (scene.things for scene in pairs):
        assert first.x == second.x == 32 or first.y == second.y == 32
    assert everything == scenes


def test_the_text_encoder_learns_what_stands_where():
    tokenizer = build_tokenizer()
    scenes = [scene for scene in draw_scenes(4000, Random(0)) if is_pair_on_a_middle_line(scene)]
    torch.manual_seed(0)
    encoder, losses = build_text_encoder(tokenizer), []
    config = LayoutConfig(steps=60, batch=32)
    learn_layouts(
        encoder, tokenizer, scenes=scenes, config=config, on_step=lambda step, loss: losses.append(loss)
    )
    assert losses[-1] < 0.6 * losses[0]


def test_a_layout_names_what_stands_at_each_of_nine_places():
    scene = scene_of(parse("a red square left of a blue circle"), Random(0), spots=FEW_SPOTS)
    there = dict(zip(PLACES, layout(scene), strict=True))
    square, circle = scene.things
    assert there.pop((square.x, square.y)) == (1 + COLOURS.index("red"), 1 + SHAPES.index("square"))
    assert there.pop((circle.x, circle.y)) == (1 + COLOURS.index("blue"), 1 + SHAPES.index("circle"))
    assert set(there.values()) == {(0, 0)}
    assert len(there) == 7
    assert stated_background(scene) == 0
    on_gray = scene_of(parse("a red square on a gray background"), Random(0))
    assert stated_background(on_gray) == 1 + BACKGROUNDS.index("gray")


def test_errors_near_things_weigh_four_times_as_much():
    scene = scene_of(parse("a red square on a white background"), Random(0), spots=[32])
    (weights,) = weights_near_things(draw([scene]))
    assert weights.shape == (1, 16, 16)
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[0, 8, 8] / weights[0, 0, 0]).item() == pytest.approx(4)
    assert (weights == weights.max()).double().mean() > scene.things[0].radius ** 2 * 3 / 64**2


class Dtypes(TorchFunctionMode):
    """Records in which precision norms and attention are computed."""

    def __init__(self):
        super().__init__()
        self.seen = {F.group_norm: set(), F.scaled_dot_product_attention: set()}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.seen:
            self.seen[function].add(args[0].dtype)
        return function(*args, **(kwargs or {}))


def test_norms_and_attention_in_float32_change_nothing_but_their_speed():
    torch.manual_seed(0)
    unet = build_unet(4)
    noisy, words = torch.randn(2, 4, 16, 16), torch.randn(2, 5, 128)
    timesteps = torch.tensor([10, 500])
    with torch.no_grad():
        usual = unet(noisy, timesteps, words).sample
        unet.set_attn_processor(FloatAttention())
        written_out = unet(noisy, timesteps, words).sample
        with float_norms(unet):
            in_float = unet(noisy, timesteps, words).sample
            norms = [module for module in unet.modules() if isinstance(module, torch.nn.GroupNorm)]
            with torch.autocast("cpu", torch.bfloat16), Dtypes() as dtypes:
                assert norms[0](torch.randn(1, 32, 4, 4).bfloat16()).dtype == torch.bfloat16
                unet(noisy, timesteps, words)
    assert all(seen == {torch.float32} for seen in dtypes.seen.values())
    torch.testing.assert_close(written_out, usual, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(in_float, usual, rtol=1e-4, atol=1e-5)
    assert all("forward" not in vars(norm) for norm in norms)


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
    assert codes.shape == (300, 8, 16, 16)
    assert codes.std().item() == pytest.approx(1, abs=0.02)
    flat = codes.permute(0, 2, 3, 1).reshape(-1, 8)
    patches = pixels.reshape(300, 3, 16, 4, 16, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 48) - code.mean
    kept = patches - flat @ torch.linalg.lstsq(flat, patches).solution
    assert kept.var() < 0.02 * patches.var()


def test_a_few_steps_make_a_pipeline_that_loads(tmp_path):
    from diffusers import StableDiffusionPipeline

    losses = {"encoder": [], "decoder": [], "text encoder": [], "denoiser": []}
    torch.set_num_threads(1)
    pipeline = train_generator(
        scenes=100,
        autoencoding=AutoencoderConfig(encoder_steps=30, decoder_steps=3, batch=4),
        reading=LayoutConfig(steps=2, batch=4),
        lessons=[Lesson(lesson.has, DenoiserConfig(steps=1, batch=4)) for lesson in LESSONS],
        seed=0,
        on_step=lambda part, step, loss: losses[part].append(loss),
    )
    save(pipeline, tmp_path)
    assert [len(steps) for steps in losses.values()] == [30, 3, 2, 3]
    assert losses["encoder"][-1] < losses["encoder"][0]
    StableDiffusionPipeline.from_pretrained(tmp_path, safety_checker=None, local_files_only=True)
    for file in tmp_path.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
