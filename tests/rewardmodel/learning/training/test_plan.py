"""What a run plans: which rankings a step learns from, when it validates, and at what rate it learns."""

import pytest
import torch

from rewardmodel.learning.config import RewardConfig
from rewardmodel.learning.training.optimiser import learning_rate
from rewardmodel.learning.training.plan import cut_epoch, plan


def test_an_epoch_has_every_ranking_once_in_batches_of_enough_pairs():
    pairs = [6, 3, 10, 1] * 10
    batches = cut_epoch(pairs, 16, torch.Generator().manual_seed(0))
    assert sorted(index for batch in batches for index in batch) == list(range(40))
    for batch in batches[:-1]:
        assert 16 <= sum(pairs[index] for index in batch) < 16 + 10
    assert batches[0] != list(range(len(batches[0])))


def test_a_run_validates_so_many_times_an_epoch_and_at_its_end():
    for count in (1, 3, 7, 8, 50):
        steps = plan([3] * count, RewardConfig(batch_pairs=3, epochs=2))
        for epoch in (1, 2):
            own = [step for step in steps if step.epoch == epoch]
            assert sum(step.validates for step in own) == min(count, 4)
            assert own[-1].validates


def test_the_rate_warms_up_then_falls_as_half_a_cosine():
    config = RewardConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(n + 1) / 10 for n in range(10)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    assert learning_rate(RewardConfig(), 0, 100) == 1e-5
