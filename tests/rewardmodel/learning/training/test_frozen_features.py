"""Frozen image layers run once an image, and in bfloat16 no less is learned."""

import dataclasses
import math
import shutil

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.preprocessing import UnreadableImage, normalise
from rewardmodel.learning.data.stored_tensors import RECORDS
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.losses import ranking_loss
from rewardmodel.learning.model.reward import freeze
from rewardmodel.learning.training import Callbacks, train
from rewardmodel.learning.training.frozen_features import FrozenFeatures
from rewardmodel.learning.training.precision import autocast, frozen_in_bfloat16

CONFIG = RewardConfig(learning_rate=3e-3, batch_pairs=16, epochs=3, fix_rate=0.7, micro_batch_images=8)
DETERMINISTIC = dataclasses.replace(CONFIG, frozen_drop_path=False)
CPU = torch.device("cpu")
PLACES = torch.tensor([[2, 1, 3, 2]])  # a tie
TOKENS = torch.tensor([[2, 5, 6, 8, 3]])


def pixels_of(model, files):
    wanted = model.config.image_input
    return normalise(torch.stack([Pixels(wanted).get(file) for file in files]), wanted)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        pixels = torch.randint(0, 256, (16, 16, 3), dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(path)
    return paths


@pytest.fixture
def frozen(model):
    freeze(model, 0.7)
    assert model.backbone.frozen_blocks == 2
    return model


@pytest.fixture
def features(frozen, tmp_path):
    def opened(config=DETERMINISTIC):
        pixels = Pixels(frozen.config.image_input)
        return FrozenFeatures(frozen, config, pixels=pixels, folder=tmp_path / "kept", device=CPU)

    return opened


@pytest.fixture
def encoded(frozen):
    """How many images went through the first block, so far."""
    seen = []
    frozen.blip.visual_encoder.blocks[0].register_forward_hook(
        lambda block, given, out: seen.append(len(out))
    )
    return lambda: sum(seen)


def plain(model, files):
    """The input of the first block that trains, computed in one batch."""
    with torch.no_grad():
        return model.eval().backbone.encode_prefix(pixels_of(model, files), model.backbone.frozen_blocks)


def test_an_image_goes_through_the_frozen_blocks_once_in_this_run_and_in_later_ones(features, encoded, files):
    first = features().get(files)
    assert encoded() == 4
    own = features()
    assert torch.equal(own.get(files[::-1]), first.flip(0))
    shutil.copy(files[0], files[0].with_name("copy.png"))
    assert torch.equal(own.get([files[0].with_name("copy.png")])[0], first[0])
    assert encoded() == 4


def test_cached_or_not_the_features_are_those_of_the_model(features, frozen, files):
    first = features().get(files)
    assert torch.allclose(first, plain(frozen, files), atol=1e-5)
    never = features(dataclasses.replace(DETERMINISTIC, boundary_cache_bytes=0)).get(files)
    alone = torch.cat([features().get([file]) for file in files])
    assert torch.equal(never, first)
    assert torch.equal(alone, first)


def test_drop_path_is_off_in_the_frozen_blocks_and_the_model_trains_on(features, frozen, files):
    frozen.train()
    assert torch.allclose(features().get(files), plain(frozen, files), atol=1e-5)
    frozen.train()
    features(dataclasses.replace(DETERMINISTIC, boundary_cache_bytes=0)).get(files)
    assert frozen.training
    assert frozen.blip.visual_encoder.blocks[0].training


def test_what_other_weights_made_is_not_read(features, frozen, files):
    before = features().get(files)
    with torch.no_grad():
        frozen.blip.visual_encoder.blocks[1].mlp.fc1.weight += 0.1
    after = features().get(files)
    assert torch.allclose(after, plain(frozen, files), atol=1e-5)
    assert not torch.allclose(after, before)


def test_what_another_kind_of_device_made_is_not_read(frozen, tmp_path):
    """It rounds in another way."""
    pixels = Pixels(frozen.config.image_input)
    cpu, gpu = (
        FrozenFeatures(
            frozen, DETERMINISTIC, pixels=pixels, folder=tmp_path / "kept", device=torch.device(kind)
        )
        for kind in ("cpu", "cuda")
    )
    assert cpu.store.folder != gpu.store.folder


def test_weights_that_train_do_not_count(features, frozen, encoded, files):
    features().get(files)
    with torch.no_grad():
        frozen.mlp.layers[0].weight += 1
    features().get(files)
    assert encoded() == 4


def test_frozen_weights_that_only_read_prompts_do_not_count_and_are_not_cast(
    features, frozen, encoded, files
):
    text = frozen.blip.text_encoder.encoder.layer[0]
    assert not any(weight.requires_grad for weight in text.parameters())
    features().get(files)
    with torch.no_grad():
        text.attention.self.query.weight += 1
    features().get(files)
    assert encoded() == 4
    halved = dataclasses.replace(DETERMINISTIC, precision="bfloat16")
    made = frozen_in_bfloat16(frozen, frozen.blip.visual_encoder)
    assert made
    assert all(name.startswith("blip.visual_encoder.") for name in made)
    assert features(halved).get(files).isfinite().all()


def test_another_image_under_the_same_name_is_another(features, frozen, files):
    features().get(files)
    shutil.copy(files[1], files[0])
    assert torch.allclose(features().get(files), plain(frozen, files), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_an_image_that_cannot_be_read_is_named(features, files, content):
    files[2].write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"2\.png"):
        features().get(files)
    files[2].unlink()
    with pytest.raises(UnreadableImage, match=r"2\.png"):
        features().get(files)


def test_in_bfloat16_an_image_takes_half_the_room(features, tmp_path, files):
    features(dataclasses.replace(DETERMINISTIC, precision="bfloat16")).get(files)
    (records,) = (tmp_path / "kept").rglob(RECORDS)
    assert records.stat().st_size == 4 * 5 * 16 * 2  # images, patches and class token, width, bytes


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.requires_grad])


def listed(model, config, hidden):
    """The loss of one ranking from one row of rewards, each image encoded once."""
    with autocast(config, CPU):
        rewards = model(TOKENS, torch.ones_like(TOKENS), hidden[None], None, model.backbone.frozen_blocks)
    assert rewards.dtype == torch.float32
    return ranking_loss(rewards, PLACES)


def paired(model, files):
    """As the published code: both images of every pair encoded anew, then cross-entropy."""
    pixels = pixels_of(model, files)
    losses = []
    for i in range(4):
        for j in range(4):
            if PLACES[0, i] < PLACES[0, j]:
                two = [model.score(TOKENS, torch.ones_like(TOKENS), pixels[each, None]) for each in (i, j)]
                losses.append(F.cross_entropy(torch.stack(two, dim=1), torch.zeros(1, dtype=torch.long)))
    assert len(losses) == 5
    return torch.stack(losses).mean()


def test_the_gradient_through_cached_features_is_that_of_scoring_pair_by_pair(features, frozen, files):
    ours = gradients(frozen, listed(frozen, DETERMINISTIC, features().get(files)))
    theirs = gradients(frozen, paired(frozen, files))
    assert (ours - theirs).norm() / theirs.norm() < 1e-4


def test_the_gradient_in_bfloat16_points_where_that_in_float32_does(features, frozen, files):
    half = dataclasses.replace(DETERMINISTIC, precision="bfloat16")
    heads = []
    for layer in frozen.mlp.layers:
        layer.register_forward_hook(lambda module, given, out: heads.append(out.dtype))
    ours = gradients(frozen, listed(frozen, half, features(half).get(files)))
    assert set(heads) == {torch.float32}
    theirs = gradients(frozen, paired(frozen, files))
    cosine = (ours @ theirs / (ours.norm() * theirs.norm())).item()
    assert cosine > 0.99
    assert not math.isclose(cosine, 1, abs_tol=1e-9)  # it did compute in bfloat16


@pytest.fixture
def run(tmp_path, a_dataset, initial):
    dataset = a_dataset()

    def start(name, config=DETERMINISTIC, **options):
        seen = []
        train(
            config,
            dataset=dataset,
            images=dataset,
            initial=initial,
            folder=tmp_path / name,
            cache=tmp_path / "shared",
            callbacks=Callbacks(on_step=seen.append, **options),
        )
        return [(p.step, p.loss, p.accuracy, p.validation_loss) for p in seen]

    return start


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_gives_the_same_numbers_kept_before_kept_now_or_never(run, precision):
    config = dataclasses.replace(DETERMINISTIC, precision=precision)
    first = run("first", config)
    assert run("second", config) == first
    assert run("never", dataclasses.replace(config, boundary_cache_bytes=0)) == first


def test_an_interrupted_run_that_lost_its_features_ends_with_the_same_numbers(run, tmp_path):
    whole = run("whole")
    asked = iter(range(1, 100))
    with pytest.raises(Interrupted):
        run("broken", should_stop=lambda: next(asked) == 3)
    shutil.rmtree(tmp_path / "shared")
    assert run("broken") == whole[3:]


def test_with_the_papers_drop_path_only_validation_reads_what_was_kept(run, tmp_path, a_dataset):
    images = list((a_dataset() / "images").iterdir())
    validated = len({image.read_bytes() for image in images if image.name.startswith("validation")})
    run("noisy", CONFIG)
    (records,) = (tmp_path / "shared" / "activations").rglob(RECORDS)
    assert records.stat().st_size == validated * 5 * 16 * 4
    assert validated < len({image.read_bytes() for image in images})
