"""CLIP and SigLIP as reward models: transformers' numbers, PickScore's and HPSv2's files."""

import dataclasses
import json
import re

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, SiglipConfig, SiglipModel

from rewardmodel.learning import checkpoints
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.stored_tensors import RECORDS
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.model.lora import adapt
from rewardmodel.learning.model.reward import freeze
from rewardmodel.learning.training import Callbacks, train
from tests.rewardmodel.learning.conftest import WORDS

LETTERS = ["a</w>", "r", "e", "d</w>", "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
SIDE, POSITIONS = 32, 16
TOWER = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 1}
SEEN = {**TOWER, "image_size": SIDE, "patch_size": 8, "hidden_act": "gelu"}
READ = {**TOWER, "max_position_embeddings": POSITIONS, "hidden_act": "gelu"}


def spread(model):
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.02 if "embedding" in name else 0.15)
    return model.eval()


@pytest.fixture
def clip(tmp_path):
    """A folder as PickScore's: CLIPModel's weights and config, and CLIP's tokenizer put beside them."""
    number = {word: n for n, word in enumerate(LETTERS)}
    ends = {"bos_token_id": number["<|startoftext|>"], "eos_token_id": number["<|endoftext|>"]}
    text = {**READ, **ends, "pad_token_id": ends["eos_token_id"], "vocab_size": len(LETTERS)}
    model = spread(CLIPModel(CLIPConfig(text_config=text, vision_config=SEEN, projection_dim=24)))
    model.save_pretrained(tmp_path / "clip")
    tokenizer = CLIPTokenizer(vocab=number, merges=[("r", "e"), ("re", "d</w>")], unk_token="<|endoftext|>")
    tokenizer.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip", model


@pytest.fixture
def siglip(tmp_path, tokenizer):
    text = {**READ, "vocab_size": len(WORDS), "projection_size": 64, "pad_token_id": 1}
    model = spread(SiglipModel(SiglipConfig(text_config=text, vision_config=SEEN)))
    model.save_pretrained(tmp_path / "siglip")
    tokenizer.save_pretrained(tmp_path / "siglip")
    half = [0.5, 0.5, 0.5]
    told = {"size": {"height": SIDE, "width": SIDE}, "image_mean": half, "image_std": half, "resample": 3}
    (tmp_path / "siglip" / "preprocessor_config.json").write_text(json.dumps(told))
    return tmp_path / "siglip", model


@pytest.fixture(params=["clip", "siglip"])
def either(request):
    return request.getfixturevalue(request.param)


def batch(checkpoint, dtype=torch.float32):
    encoded = checkpoint.tokenizer(["a red", "red red a"], padding="longest", return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"], torch.randn(2, 3, SIDE, SIDE, dtype=dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_reward_is_transformers_scaled_cosine(either, dtype, tolerance):
    folder, theirs = either
    checkpoint = checkpoints.load(folder)
    ours = checkpoint.model.to(dtype)
    tokens, mask, images = batch(checkpoint, dtype)
    padded = tokens
    if ours.config.kind == "siglip":  # trained on padded texts, whatever a batch's longest is
        padded = torch.full((2, POSITIONS), 1)
        padded[:, : tokens.shape[1]] = torch.where(mask > 0, tokens, 1)
    with torch.no_grad():
        expected = theirs.to(dtype)(input_ids=padded, pixel_values=images).logits_per_image.diagonal()
        rewards = ours.score(tokens, mask, images)
    assert rewards.dtype == dtype
    torch.testing.assert_close(rewards, expected, rtol=0, atol=tolerance)


def test_each_kind_says_how_it_wants_images_and_how_long_prompts_may_be(clip, siglip):
    cropped, squashed = (checkpoints.load(folder).config for folder, _ in (clip, siglip))
    assert cropped.backbone.image_input == ImageInput(SIDE)
    assert squashed.backbone.image_input == ImageInput(SIDE, (0.5,) * 3, (0.5,) * 3, "squash")
    assert (cropped.max_tokens, squashed.max_tokens) == (POSITIONS, POSITIONS)


def test_it_comes_back_from_our_own_folder(either, tmp_path):
    read = checkpoints.load(either[0])
    checkpoints.save(tmp_path / "ours", model=read.model, tokenizer=read.tokenizer, config=read.config)
    again = checkpoints.load(tmp_path / "ours")
    assert again.config.backbone.image_input == read.config.backbone.image_input
    inputs = batch(read)
    assert torch.equal(again.model.score(*inputs), read.model.score(*inputs))
    assert again.tokenizer("a red")["input_ids"] == read.tokenizer("a red")["input_ids"]


def test_encoding_stops_and_goes_on_and_freezing_follows_the_papers_rule(either):
    checkpoint = checkpoints.load(either[0])
    model, images = checkpoint.model, batch(checkpoint)[2]
    for block in (0, 2, 3):
        features = model.backbone.encode_suffix(model.backbone.encode_prefix(images, block), block)
        torch.testing.assert_close(features, model.encode(images), rtol=0, atol=0)
    counts = []
    for rate in (0.0, 0.7, 1.0):
        freeze(model, rate)
        counts.append(model.backbone.frozen_blocks)
    assert counts == [0, 2, 3]
    trained = freeze(model, 0.7).names
    frozen = {name for name, _ in model.named_parameters()} - set(trained)
    assert len([name for name in frozen if ".layers.2." in name]) == 2  # the first of each encoder's layer


def test_recomputing_blocks_changes_no_gradient(either):
    checkpoint = checkpoints.load(either[0])
    model, inputs = checkpoint.model.train(), batch(checkpoint)
    freeze(model, 0.3)
    gradients = []
    for on in (False, True):
        model.backbone.set_gradient_checkpointing(on)
        model.zero_grad()
        model.score(*inputs).sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_it_learns_from_rankings_like_any_reward_model(clip, a_dataset, tmp_path):
    dataset = a_dataset(train=3, validation=2)
    quick = RewardConfig(epochs=1, batch_pairs=3, validations_per_epoch=1, learning_rate=1e-3)
    places = {"dataset": dataset, "images": dataset, "initial": clip[0], "folder": tmp_path / "run"}
    result = train(quick, **places)
    tuned = checkpoints.load(result.checkpoint)
    assert tuned.config.backbone.kind == "clip"
    assert tuned.config.std > 0
    assert not torch.equal(tuned.model.dual.visual_projection.weight, clip[1].visual_projection.weight)


def test_adapters_that_a_batch_reaches_all_learn_and_what_is_saved_has_them_merged(either, tmp_path):
    checkpoint = checkpoints.load(either[0])
    model, inputs = checkpoint.model, batch(checkpoint)
    plain = model.score(*inputs)
    freeze(model, 0.0)
    adapt(model, rank=2, alpha=4.0)
    torch.testing.assert_close(model.score(*inputs), plain)
    model.score(*inputs).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                torch.nn.init.normal_(parameter, std=0.1)
    adapted = model.score(*inputs)
    assert not torch.allclose(adapted, plain, rtol=1e-3)
    checkpoints.save(tmp_path / "ours", model=model, tokenizer=checkpoint.tokenizer, config=checkpoint.config)
    torch.testing.assert_close(checkpoints.load(tmp_path / "ours").model.score(*inputs), adapted)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_frozen_blocks_run_once_an_image_and_change_no_number(either, a_dataset, tmp_path, precision):
    dataset, seen = a_dataset(train=3, validation=2), {}
    config = RewardConfig(
        epochs=2, batch_pairs=3, validations_per_epoch=1, learning_rate=1e-3, precision=precision
    )
    places = {"dataset": dataset, "images": dataset, "initial": either[0], "cache": tmp_path / "cache"}
    for name, room in (("kept now", 1 << 30), ("kept before", 1 << 30), ("never", 0)):
        steps = []
        own = dataclasses.replace(config, boundary_cache_bytes=room)
        train(own, **places, folder=tmp_path / name, callbacks=Callbacks(on_step=steps.append))
        seen[name] = [(p.loss, p.validation_loss) for p in steps]
    assert seen["kept now"] == seen["kept before"] == seen["never"]
    (records,) = (tmp_path / "cache" / "activations").rglob(RECORDS)
    images = {file.read_bytes() for file in (dataset / "images").glob("[tv]*-*") if "test" not in file.name}
    patches = (SIDE // 8) ** 2 + (checkpoints.load(either[0]).config.backbone.kind == "clip")
    assert records.stat().st_size == len(images) * patches * 64 * (2 if precision == "bfloat16" else 4)


# transformers' name in a block -> open_clip's
IN_BLOCKS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
ELSEWHERE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
}


def open_clip(model):
    """The weights as open_clip holds them: attention's three projections in one, the last two transposed."""
    theirs = model.state_dict()
    held = {"visual.proj": theirs.pop("visual_projection.weight").T.clone()}
    held |= {"text_projection": theirs.pop("text_projection.weight").T.clone()}
    for name, tensor in theirs.items():
        block = re.fullmatch(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", name)
        if block is None:
            for old, new in ELSEWHERE.items():
                name = name.replace(old, new)
            held[name] = tensor
            continue
        tower, number, part, kind = block.groups()
        place = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{number}"
        if part in IN_BLOCKS:
            held[f"{place}.{IN_BLOCKS[part]}.{kind}"] = tensor
        elif part == "self_attn.q_proj":
            rest = [theirs[name.replace("q_proj", other)] for other in ("k_proj", "v_proj")]
            held[f"{place}.attn.in_proj_{kind}"] = torch.cat([tensor, *rest])
    return held


@pytest.fixture
def hps(clip):
    folder, theirs = clip
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
    torch.save({"state_dict": open_clip(theirs)}, folder / "HPS_v2.1_compressed.pt")
    return folder / "HPS_v2.1_compressed.pt", theirs


def test_hpsv2_has_open_clips_names_and_shapes(hps):
    held = torch.load(hps[0])["state_dict"]
    assert held["visual.transformer.resblocks.2.attn.in_proj_weight"].shape == (192, 64)
    assert held["transformer.resblocks.0.mlp.c_proj.weight"].shape == (64, 96)
    assert held["visual.proj"].shape == held["text_projection"].shape == (64, 24)
    assert held["logit_scale"].shape == ()
    assert len(held) == 8 + 5 + 1 + 2 * 3 * 12  # of images, of texts, the scale, of blocks


def test_hpsv2s_reward_is_transformers_cosine(hps):
    file, theirs = hps
    checkpoint = checkpoints.load(file)
    tokens, mask, images = batch(checkpoint)
    with torch.no_grad():
        logits = theirs(
            input_ids=tokens, attention_mask=mask, pixel_values=images
        ).logits_per_image.diagonal()
        rewards = (
            checkpoint.model.score(tokens, mask, images) - checkpoint.config.mean
        ) / checkpoint.config.std
    torch.testing.assert_close(rewards, logits / theirs.logit_scale.exp(), rtol=0, atol=1e-5)


def test_what_is_missing_or_unknown_in_it_is_listed(hps):
    held = torch.load(hps[0])["state_dict"]
    del held["ln_final.bias"]
    torch.save({"state_dict": {**held, "visual.attnpool.bias": torch.zeros(1)}}, hps[0])
    with pytest.raises(CheckpointError) as refusal:
        checkpoints.load(hps[0])
    assert "missing dual.text_model.final_layer_norm.bias" in str(refusal.value)
    assert "unexpected dual.visual.attnpool.bias" in str(refusal.value)


def test_siglip_without_its_preprocessing_or_of_another_kind_is_refused(siglip):
    told = siglip[0] / "preprocessor_config.json"
    told.write_text(told.read_text().replace('"resample": 3', '"resample": 2'))
    with pytest.raises(CheckpointError, match="not bicubic"):
        checkpoints.load(siglip[0])
    told.unlink()
    with pytest.raises(CheckpointError, match="how images are made fit"):
        checkpoints.load(siglip[0])
