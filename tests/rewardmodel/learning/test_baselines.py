"""CLIP, BLIP and Aesthetic: their published scores, by the calls that a reward model answers."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rewardmodel.learning import available_scores, load_score
from rewardmodel.learning.errors import CheckpointError
from tests.rewardmodel.tiny_baselines import HEAD, SIDE, write_aesthetic, write_blip_large, write_clip

PROMPT = "a red a"


@pytest.fixture
def images(tmp_path):
    """Of the size that the models see, so that fitting changes nothing."""
    torch.manual_seed(1)
    pixels = torch.randint(256, (3, SIDE, SIDE, 3), dtype=torch.uint8).numpy()
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file, one in zip(files, pixels, strict=True):
        Image.fromarray(one).save(file)
    return files


def seen(scorer, images):
    return torch.stack([scorer.preprocess(image) for image in images])


def unit(x):
    return F.normalize(getattr(x, "pooler_output", x), dim=-1)


def close(scores, expected):
    torch.testing.assert_close(torch.as_tensor(scores), expected, rtol=0, atol=1e-5)
    assert expected.std() > 1e-3  # or any scores would do


@torch.no_grad()
def test_clip_is_the_cosine_of_transformers_features(tmp_path, images):
    theirs = write_clip(tmp_path)
    scorer = load_score("CLIP", "cpu", tmp_path)
    tokens = scorer.tokenizer([PROMPT], return_tensors="pt")
    image = unit(theirs.get_image_features(pixel_values=seen(scorer, images)))
    text = unit(theirs.get_text_features(**tokens))
    close(scorer.score(PROMPT, images), (image * text).sum(dim=-1))


@torch.no_grad()
def test_blip_is_transformers_contrastive_score(tmp_path, images):
    theirs = write_blip_large(tmp_path)
    scorer = load_score("BLIP", "cpu", tmp_path)
    tokens = scorer.tokenizer([PROMPT], padding="max_length", max_length=35, return_tensors="pt")
    tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    told = theirs(**tokens, pixel_values=seen(scorer, images), use_itm_head=False)
    close(scorer.score(PROMPT, images), told.itm_score[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("name", ["sac+logos+ava1-l14-linearMSE.pth", "sac%2Blogos%2Bava1-l14-linearMSE.pth"])
def test_aesthetic_is_its_layers_on_clips_unit_features(tmp_path, images, name):
    theirs, weights = write_clip(tmp_path), write_aesthetic(tmp_path, name)
    scorer = load_score("Aesthetic", "cpu", tmp_path)
    x = unit(theirs.get_image_features(pixel_values=seen(scorer, images)))
    for layer in HEAD:
        x = x @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
    close(scorer.score(PROMPT, images), x[:, 0])


@torch.no_grad()
def test_laions_first_predictor_is_one_layer_on_the_same_features(tmp_path, images):
    theirs, width = write_clip(tmp_path), next(iter(HEAD.values()))[1]
    weights = {"weight": torch.randn(1, width), "bias": torch.randn(1)}
    torch.save(weights, tmp_path / "sa_0_4_vit_l_14_linear.pth")
    scorer = load_score("Aesthetic", "cpu", tmp_path)
    x = unit(theirs.get_image_features(pixel_values=seen(scorer, images)))
    close(scorer.score(PROMPT, images), (x @ weights["weight"].T + weights["bias"])[:, 0])


@pytest.mark.filterwarnings("error")  # a prompt that is not looked at is never too long
def test_aesthetic_does_not_look_at_the_prompt(tmp_path, images):
    write_clip(tmp_path)
    write_aesthetic(tmp_path)
    scorer = load_score("Aesthetic", "cpu", tmp_path)
    assert scorer.score("red " * 90, images) == scorer.score("a", images)
    assert scorer.truncated(["red " * 90]) == [False]


@pytest.mark.parametrize("name", ["CLIP", "BLIP", "Aesthetic"])
def test_each_answers_the_calls_of_a_reward_model(tmp_path, images, name):
    write_clip(tmp_path)
    write_blip_large(tmp_path)
    write_aesthetic(tmp_path)
    scorer = load_score(name, "cpu", tmp_path)
    scores = scorer.score(PROMPT, images)
    assert scorer.score(PROMPT, images[0]) == pytest.approx(scores[0], abs=1e-5)
    ranks, rewards = scorer.inference_rank(PROMPT, images)
    assert [ranks.index(rank) for rank in (1, 2, 3)] == sorted(range(3), key=lambda one: -rewards[one])
    assert scorer.score_pairs([PROMPT] * 3, images) == pytest.approx(scores, abs=1e-5)
    assert scorer.score_groups([PROMPT, "a"], [images, images[:1]])[0] == pytest.approx(scores, abs=1e-5)
    pixels = torch.stack([scorer.pixels(image) for image in images]).float() / 255
    differentiable = scorer.score_tensor([PROMPT] * 3, pixels.requires_grad_())
    assert differentiable.tolist() == pytest.approx(scores, abs=1e-5)
    differentiable.sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_two_projections_that_meet_in_a_cosine_have_no_head_to_look_into(tmp_path, images):
    write_blip_large(tmp_path)
    with pytest.raises(TypeError, match="BlipCosine has no head"):
        load_score("BLIP", "cpu", tmp_path).embed_groups([PROMPT], [images])


def test_the_published_names_are_available_and_no_others():
    assert available_scores() == ["CLIP", "BLIP", "Aesthetic"]
    with pytest.raises(CheckpointError, match=r"no scorer 'HPS'; there are CLIP, BLIP, Aesthetic"):
        load_score("HPS")


@pytest.mark.parametrize(
    ("name", "address", "place"),
    [
        ("CLIP", "huggingface.co/openai/clip-vit-large-patch14", "clip-vit-large-patch14"),
        (
            "BLIP",
            "googleapis.com/sfr-vision-language-research/BLIP/models/model_large.pth",
            "model_large.pth",
        ),
        ("Aesthetic", "github.com/christophschuhmann/", "sac+logos+ava1-l14-linearMSE.pth"),
    ],
)
def test_without_a_network_it_is_said_what_to_fetch_and_where_to_put_it(
    tmp_path, monkeypatch, name, address, place
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(CheckpointError, match="fetch ") as raised:
        load_score(name, "cpu", tmp_path / "root")
    assert address in str(raised.value)
    assert str(tmp_path / "root" / place) in str(raised.value)


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path):
    write_clip(tmp_path)
    weights = write_aesthetic(tmp_path)
    weights["layers.8.weight"] = weights.pop("layers.7.weight")
    torch.save(weights, tmp_path / "sac+logos+ava1-l14-linearMSE.pth")
    with pytest.raises(CheckpointError, match=r"missing layers\.7\.weight; unexpected layers\.8\.weight"):
        load_score("Aesthetic", "cpu", tmp_path)
    write_blip_large(tmp_path, projection=None)
    with pytest.raises(CheckpointError, match="missing vision_proj and text_proj"):
        load_score("BLIP", "cpu", tmp_path)
