"""A backbone that no other module knows of: it trains, scores, is saved and cached once it is registered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer

from rewardmodel.learning import checkpoints, load
from rewardmodel.learning.checkpoints.folder import CheckpointConfig
from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.data.stored_tensors import RECORDS
from rewardmodel.learning.errors import CheckpointError
from rewardmodel.learning.model.backbones import BACKBONES, Backbone, Registered
from rewardmodel.learning.model.backbones.backbone import count_frozen
from rewardmodel.learning.model.backbones.config import ImageInput
from rewardmodel.learning.model.backbones.layouts import PublishedLayout, Release
from rewardmodel.learning.model.heads import HeadConfig, RewardHead
from rewardmodel.learning.model.reward import RewardModel, freeze
from rewardmodel.learning.training import Callbacks, train
from tests.rewardmodel.learning.conftest import WORDS, spread

QUICK = {"epochs": 2, "batch_pairs": 6, "validations_per_epoch": 1, "learning_rate": 1e-3}


class Bag(Backbone):
    """Patches through linear blocks; a bag of words, times the mean patch."""

    def __init__(self, config: "BagConfig") -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, config.width, 8, stride=8)
        self.image = nn.ModuleDict(
            {"blocks": nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.layers))}
        )
        self.text = nn.ModuleDict({"words": nn.ModuleList([nn.Embedding(config.vocabulary, config.width)])})

    def encode_prefix(self, images: Tensor, block: int) -> Tensor:
        hidden = self.patches(images).flatten(2).transpose(1, 2)
        for layer in self.image["blocks"][:block]:
            hidden = hidden + layer(hidden).tanh()
        return hidden

    def encode_suffix(self, hidden: Tensor, block: int) -> Tensor:
        for layer in self.image["blocks"][block:]:
            hidden = hidden + layer(hidden).tanh()
        return hidden

    def fuse(self, tokens: Tensor, mask: Tensor, features: Tensor, rows: Tensor | None = None) -> Tensor:
        words = (self.text["words"][0](tokens) * mask[:, :, None]).sum(dim=1)
        return words * (features if rows is None else features[rows]).mean(dim=1)

    @property
    def hidden_shape(self) -> tuple[int, int]:
        return 4, self.patches.out_channels

    @property
    def encoders(self) -> tuple[tuple[nn.Module, str, int], ...]:
        image = nn.ModuleDict({"patches": self.patches, **self.image})
        return (image, "blocks", len(self.image["blocks"])), (self.text, "words", 1)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        assert not enabled

    @property
    def frozen_blocks(self) -> int:
        return count_frozen(self.patches.parameters(), self.image["blocks"])

    @property
    def stochastic_prefix(self) -> bool:
        return False


@dataclass(frozen=True)
class BagConfig:
    backbone_name: ClassVar[str] = "bag"
    head_name: ClassVar[str] = "reward"
    tokenizer_class: ClassVar[str] = "BertTokenizer"
    meta_init: ClassVar[bool] = True

    vocabulary: int = len(WORDS)
    width: int = 16
    layers: int = 3
    kind: str = "bag"

    @property
    def image_input(self) -> ImageInput:
        return ImageInput(16)

    @property
    def prompt_length(self) -> int:
        return 20

    @property
    def fused_width(self) -> int:
        return self.width

    @property
    def image_encoder(self) -> object:
        return self.width, self.layers

    def build(self) -> Bag:
        return Bag(self)

    def build_head(self) -> RewardHead:
        return RewardHead(HeadConfig((8, 4), (0.1,)), self.width)

    def resize(self, weights: Mapping[str, Tensor], image_size: int) -> tuple[Self, dict[str, Tensor]]:
        raise ValueError("a bag model keeps its image size")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


def read_theirs(stored, config):
    """Their names have another prefix; the reward's head starts fresh."""
    weights = {name.replace("theirs.", "bag."): tensor for name, tensor in stored.tensors.items()}
    shape = BagConfig()
    return Release(stored.file, shape, weights, "own", shape.vocabulary, fresh=("reward.",))


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    layouts = (PublishedLayout("a bag of words", frozenset({"theirs.patches.weight"}), read_theirs),)
    monkeypatch.setitem(BACKBONES, "bag", Registered(BagConfig, layouts))


@pytest.fixture
def initial(tmp_path, tokenizer):
    model, config = spread(RewardModel(BagConfig())), CheckpointConfig(BagConfig(), max_tokens=20)
    checkpoints.save(tmp_path / "bag", model=model, tokenizer=tokenizer, config=config)
    return tmp_path / "bag"


def test_it_comes_back_from_disk_and_scores(initial, a_dataset):
    images = sorted((a_dataset() / "images").iterdir())[:3]
    checkpoint = checkpoints.load(initial)
    assert checkpoint.config == CheckpointConfig(BagConfig(), max_tokens=20)
    scores = load(initial, device="cpu").score("a red circle", images)
    assert len({round(score, 4) for score in scores}) == 3


def test_without_its_line_in_the_registry_it_is_refused_by_name(initial, monkeypatch):
    monkeypatch.delitem(BACKBONES, "bag")
    with pytest.raises(CheckpointError, match="no backbone 'bag'; there are blip, clip and siglip"):
        checkpoints.load(initial)


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}, {"aspects": ("alignment",)}])
def test_it_trains_with_its_frozen_features_cached(initial, a_dataset, tmp_path, options):
    dataset = a_dataset(train=4, validation=2, rated=True)
    places = {"dataset": dataset, "images": dataset, "initial": initial, "cache": tmp_path / "cache"}
    losses = {}
    for name, room in (("cached", 1 << 30), ("from the cache", 1 << 30), ("never cached", 0)):
        steps = []
        config = RewardConfig(**QUICK, **options, fix_rate=0.7, boundary_cache_bytes=room)
        result = train(config, **places, folder=tmp_path / name, callbacks=Callbacks(on_step=steps.append))
        losses[name] = [(step.loss, step.validation_loss) for step in steps]
    assert losses["cached"] == losses["from the cache"] == losses["never cached"]
    (records,) = (tmp_path / "cache" / "activations").rglob(RECORDS)
    assert records.stat().st_size % (4 * 16 * 4) == 0 < records.stat().st_size
    before, after = (checkpoints.load(folder).model.state_dict() for folder in (initial, result.checkpoint))
    changed = {name for name, tensor in after.items() if name not in before or (tensor != before[name]).any()}
    assert any(name.startswith("bag.image.blocks.2.") for name in changed)
    assert not any(name.startswith("bag.image.blocks.1.") for name in changed)


def test_it_freezes_in_the_order_that_it_says():
    model = RewardModel(BagConfig())
    counts = []
    for rate in (0.0, 0.7, 1.0):
        freeze(model, rate)
        counts.append(model.backbone.frozen_blocks)
    assert counts == [0, 2, 3]


def test_what_others_publish_of_it_is_read_by_the_names_it_maps(initial, tmp_path):
    weights = checkpoints.load(initial).model.backbone.state_dict()
    published = tmp_path / "theirs"
    published.mkdir()
    AutoTokenizer.from_pretrained(initial).save_pretrained(published)
    torch.save({f"theirs.{name}": tensor for name, tensor in weights.items()}, published / "bag.pt")
    read = checkpoints.load(published)
    assert read.config.max_tokens == 20
    assert all(torch.equal(read.model.backbone.state_dict()[name], each) for name, each in weights.items())
