"""How rankings come into batches."""

import torch

from rewardmodel.learning.data.batches import BatchLoader, collate, micro_batches
from rewardmodel.learning.data.pixels import Pixels
from rewardmodel.learning.data.rankings import Ranking, load_rankings
from rewardmodel.learning.model.backbones.config import ImageInput


def test_shorter_rankings_are_padded_with_place_0(a_dataset, tokenizer):
    rankings = load_rankings(a_dataset(), "train")[:2]
    batch = collate(
        rankings,
        pixels=Pixels(ImageInput(16)),
        tokenizer=tokenizer,
        max_tokens=35,
        device=torch.device("cpu"),
    )
    assert batch.images.shape == (2, 4, 3, 16, 16)
    assert batch.tokens.shape == (2, 5)  # cut to the longest prompt
    assert batch.real.tolist() == [[True, True, True, False], [True] * 4]


def test_soft_labels_of_a_batch_say_both_orders_of_each_pair(a_dataset, tokenizer):
    rankings = load_rankings(a_dataset(soft=0.75), "train")[:2]
    options = {"tokenizer": tokenizer, "max_tokens": 35, "device": torch.device("cpu")}
    soft = collate(rankings, pixels=Pixels(ImageInput(16)), **options).preferred
    assert soft.shape == (2, 4, 4)
    assert soft[0].tolist() == [
        [0.5, 0.75, 0.75, 0.5],
        [0.25, 0.5, 0.75, 0.5],
        [0.25, 0.25, 0.5, 0.5],
        [0.5] * 4,  # the first prompt has three images
    ]
    hard = load_rankings(a_dataset(), "train")[:2]
    assert collate(hard, pixels=Pixels(ImageInput(16)), **options).preferred is None


def test_micro_batches_hold_all_and_at_most_so_many_images():
    rankings = [Ranking(str(n), "a", ("x",) * k, tuple(range(1, k + 1))) for n, k in enumerate((4, 3, 9, 2))]
    parts = [[r.id for r in part] for part in micro_batches(rankings, 7)]
    assert parts == [["0", "1"], ["2"], ["3"]]


def test_the_loader_gives_every_ranking_once_with_the_images_of_its_own_files(a_dataset, tokenizer):
    rankings, pixels = load_rankings(a_dataset(), "train"), Pixels(ImageInput(16))
    options = {"pixels": pixels, "tokenizer": tokenizer, "max_tokens": 35, "device": torch.device("cpu")}
    loader = BatchLoader(**options, images=8)
    batches = list(loader.load(rankings, features=None, upcoming=rankings[:1]))
    loader.close()
    assert [each.id for batch in batches for each in batch.rankings] == [each.id for each in rankings]
    for batch in batches:
        assert torch.equal(batch.images, collate(batch.rankings, **options).images)


def test_the_rankings_at_fault_are_those_whose_reward_is_no_number_or_all(a_dataset, tokenizer):
    options = {"tokenizer": tokenizer, "max_tokens": 35, "device": torch.device("cpu")}
    batch = collate(load_rankings(a_dataset(), "train")[:3], pixels=Pixels(ImageInput(16)), **options)
    rewards = torch.zeros(3, 4)
    assert batch.at_fault(rewards) == batch.rankings
    rewards[1, 2] = torch.nan
    assert batch.at_fault(rewards) == batch.rankings[1:2]
