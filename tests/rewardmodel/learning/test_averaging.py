"""The running average of weights: what it comes to, and where the model has it."""

import pytest
import torch
from torch import nn

from rewardmodel.learning.averaging import ExponentialMovingAverage


@pytest.fixture
def weight():
    return nn.Parameter(torch.tensor([1.0, -2.0]))


def trained(weight, ema, values):
    """Let the weight take these values one after the other, each averaged in."""
    for value in values:
        with torch.no_grad():
            weight.fill_(value)
        ema.update()
    return ema


@pytest.mark.parametrize("use_num_updates", [True, False])
def test_each_update_leaves_its_share_of_the_average(weight, use_num_updates):
    ema = ExponentialMovingAverage([weight], 0.3, use_num_updates=use_num_updates)
    expected = weight.tolist()
    for n, value in enumerate((4.0, 8.0, -1.0, 2.0), start=1):
        trained(weight, ema, [value])
        decay = min(0.3, (1 + n) / (10 + n)) if use_num_updates else 0.3
        expected = [decay * average + (1 - decay) * value for average in expected]
        assert ema.shadow_params[0].tolist() == pytest.approx(expected)


def test_the_average_is_in_the_parameters_within_and_gone_after(weight):
    ema = trained(weight, ExponentialMovingAverage([weight], 0.5), [4.0])
    average = ema.shadow_params[0].clone()
    with ema.average_parameters():
        assert torch.equal(weight, average)
    assert weight.tolist() == [4.0, 4.0]
    assert torch.equal(ema.shadow_params[0], average)


def test_an_average_that_was_saved_goes_on_with_the_same_numbers(weight):
    whole = trained(weight, ExponentialMovingAverage([weight], 0.9), [4.0, 8.0, 2.0])
    other = nn.Parameter(torch.tensor([1.0, -2.0]))
    before = trained(other, ExponentialMovingAverage([other], 0.9), [4.0])
    after = ExponentialMovingAverage([other], 0.9)
    after.load_state_dict(before.state_dict())
    trained(other, after, [8.0, 2.0])
    assert torch.equal(after.shadow_params[0], whole.shadow_params[0])
