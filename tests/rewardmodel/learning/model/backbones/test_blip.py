"""Our BLIP is the published one: the same numbers as transformers' classes holding the same weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import BlipTextConfig, BlipVisionConfig, BlipVisionModel
from transformers.models.blip.modeling_blip_text import BlipTextModel

from rewardmodel.learning.model.backbones.attention import ImageAttention
from rewardmodel.learning.model.backbones.blip import Blip, blip_vit_large
from rewardmodel.learning.model.backbones.config import TextConfig, VisionConfig
from rewardmodel.learning.model.backbones.vision import DropPath
from rewardmodel.learning.model.reward import RewardModel

VISION = VisionConfig(32, 8, width=24, layers=3, heads=4, feed_forward=48)
TEXT = TextConfig(50, positions=40, width=36, layers=3, heads=3, feed_forward=72)

# ours -> transformers', in this order
VISION_NAMES = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj", "embeddings.patch_embedding"),
    ("blocks.", "encoder.layers."),
    ("norm1", "layer_norm1"),
    ("norm2", "layer_norm2"),
    ("attn.qkv", "self_attn.qkv"),
    ("attn.proj", "self_attn.projection"),
)


def theirs(vision: VisionConfig, text: TextConfig) -> tuple[nn.Module, nn.Module]:
    """transformers' classes, with the values that its defaults get wrong for BLIP."""
    vision_config = BlipVisionConfig(
        hidden_size=vision.width,
        intermediate_size=vision.feed_forward,
        num_hidden_layers=vision.layers,
        num_attention_heads=vision.heads,
        image_size=vision.image_size,
        patch_size=vision.patch,
        layer_norm_eps=vision.norm_eps,
    )
    text_config = BlipTextConfig(
        vocab_size=text.vocabulary,
        hidden_size=text.width,
        encoder_hidden_size=vision.width,
        intermediate_size=text.feed_forward,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        max_position_embeddings=text.positions,
        layer_norm_eps=text.norm_eps,
        is_decoder=True,
    )
    return BlipVisionModel(vision_config), BlipTextModel(text_config, add_pooling_layer=False)


def give(blip: Blip, vision: nn.Module, text: nn.Module) -> None:
    """Load our weights into transformers' classes, strictly."""
    renamed = {}
    for name, weight in blip.visual_encoder.state_dict().items():
        for ours, their in VISION_NAMES:
            name = name.replace(ours, their)
        if name.startswith("norm."):
            name = name.replace("norm.", "post_layernorm.")
        renamed[name] = weight
    vision.load_state_dict(renamed)
    text.load_state_dict(blip.text_encoder.state_dict())


def inputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts of 5, 20 and 35 tokens, padded to 35."""
    tokens = torch.randint(5, TEXT.vocabulary, (3, 35))
    mask = (torch.arange(35) < torch.tensor([[5], [20], [35]])).long()
    images = torch.randn(3, 3, VISION.image_size, VISION.image_size, dtype=dtype)
    return tokens * mask, mask, images


def read(blip: Blip, tokens: torch.Tensor, mask: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return blip.fuse(tokens, mask, blip.visual_encoder(images))


@pytest.fixture
def blip() -> Blip:
    blip = Blip(VISION, TEXT).eval()
    for parameter in blip.parameters():
        nn.init.normal_(parameter, std=0.2)
    return blip


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_it_reads_as_transformers_does(blip, dtype, tolerance):
    blip.to(dtype)
    vision, text = (each.eval().to(dtype) for each in theirs(VISION, TEXT))
    give(blip, vision, text)
    tokens, mask, images = inputs(dtype)

    with torch.no_grad():
        seen = vision(images).last_hidden_state
        expected = text(tokens, mask, encoder_hidden_states=seen, is_decoder=False).last_hidden_state[:, 0]
        torch.testing.assert_close(blip.visual_encoder(images), seen, rtol=0, atol=tolerance * 10)
        torch.testing.assert_close(read(blip, tokens, mask, images), expected, rtol=0, atol=tolerance)


def test_leaving_other_tokens_out_of_the_last_layer_changes_nothing(blip):
    tokens, mask, images = inputs(torch.float64)
    blip.double()
    seen = blip.visual_encoder(images)
    every = blip.text_encoder(tokens, mask, seen, first_only=False)
    torch.testing.assert_close(blip.text_encoder(tokens, mask, seen)[:, 0], every[:, 0], rtol=0, atol=1e-12)


def test_cutting_the_padding_off_changes_nothing(blip):
    tokens, mask, images = inputs(torch.float64)
    blip.double()
    short = read(blip, tokens[:2, :20], mask[:2, :20], images[:2])
    torch.testing.assert_close(short, read(blip, tokens, mask, images)[:2], rtol=0, atol=1e-12)


def test_padding_is_not_seen_whatever_stands_there(blip):
    tokens, mask, images = inputs(torch.float32)
    other = tokens + (1 - mask) * 7
    assert torch.equal(read(blip, tokens, mask, images), read(blip, other, mask, images))


def test_drop_path_grows_from_none_to_the_published_rate_at_the_last_block():
    with torch.device("meta"):
        blocks = RewardModel(blip_vit_large()).blip.visual_encoder.blocks
    assert [blocks[depth].drop_path.rate for depth in (0, 23)] == [0.0, 0.1]


def test_drop_path_keeps_the_mean_and_drops_whole_rows_in_training_only():
    path, x = DropPath(0.25), torch.ones(4000, 1, 2)
    dropped = path(x)
    assert sorted(set(dropped.flatten().tolist())) == pytest.approx([0, 1 / 0.75])
    assert torch.equal(dropped[:, :, 0], dropped[:, :, 1])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert path.eval()(x) is x


# Read in the published checkpoints.
PUBLISHED = {
    "blip.visual_encoder.cls_token": [1, 1, 1024],
    "blip.visual_encoder.pos_embed": [1, 197, 1024],
    "blip.visual_encoder.patch_embed.proj.weight": [1024, 3, 16, 16],
    "blip.visual_encoder.blocks.23.norm1.weight": [1024],
    "blip.visual_encoder.blocks.23.attn.qkv.weight": [3072, 1024],
    "blip.visual_encoder.blocks.23.attn.proj.bias": [1024],
    "blip.visual_encoder.blocks.23.mlp.fc1.weight": [4096, 1024],
    "blip.visual_encoder.norm.bias": [1024],
    "blip.text_encoder.embeddings.word_embeddings.weight": [30524, 768],
    "blip.text_encoder.embeddings.position_embeddings.weight": [512, 768],
    "blip.text_encoder.embeddings.LayerNorm.weight": [768],
    "blip.text_encoder.encoder.layer.11.attention.self.query.weight": [768, 768],
    "blip.text_encoder.encoder.layer.11.attention.output.LayerNorm.bias": [768],
    "blip.text_encoder.encoder.layer.11.crossattention.self.key.weight": [768, 1024],
    "blip.text_encoder.encoder.layer.11.crossattention.output.dense.weight": [768, 768],
    "blip.text_encoder.encoder.layer.11.intermediate.dense.weight": [3072, 768],
    "blip.text_encoder.encoder.layer.11.output.dense.weight": [768, 3072],
    "mlp.layers.0.weight": [1024, 768],
    "mlp.layers.2.weight": [128, 1024],
    "mlp.layers.4.weight": [64, 128],
    "mlp.layers.6.weight": [16, 64],
    "mlp.layers.7.bias": [1],
}


def test_names_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        weights = RewardModel(blip_vit_large()).state_dict()
    assert {name: list(weights[name].shape) for name in PUBLISHED} == PUBLISHED
    # with the two projections that the reward never uses
    assert sum(weight.numel() for weight in weights.values()) == 446_665_953


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_looking_at_patches_is_looking_at_their_keys_and_values(dtype, tolerance):
    torch.manual_seed(0)
    attention = ImageAttention(TEXT, VISION.width).to(dtype).eval()
    x, images = torch.randn(4, 20, TEXT.width, dtype=dtype), torch.randn(4, 17, VISION.width, dtype=dtype)
    found, gradients = [], []
    for rows in (None, torch.arange(4)):  # with rows, so many words are cheaper by keys
        given = x.clone().requires_grad_(), images.clone().requires_grad_()
        out = attention(*given, rows)
        out.square().sum().backward()
        found.append(out)
        gradients.append([g.grad for g in given] + [attention.value.weight.grad, attention.query.weight.grad])
        attention.zero_grad()
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=tolerance)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=20 * tolerance)


def test_dropout_of_what_patches_say_keeps_the_mean():
    torch.manual_seed(0)
    attention = ImageAttention(replace(TEXT, attention_dropout=0.5), VISION.width).double()
    x, images = torch.randn(1, 2, TEXT.width).double(), torch.randn(1, 17, VISION.width).double()
    exact = attention.eval()(x, images)
    attention.train()
    with torch.no_grad():
        noisy = attention(x.expand(20_000, -1, -1), images.expand(20_000, -1, -1))
    assert noisy.std(dim=0).min() > 0
    torch.testing.assert_close(noisy.mean(dim=0, keepdim=True), exact, rtol=0, atol=0.02)
