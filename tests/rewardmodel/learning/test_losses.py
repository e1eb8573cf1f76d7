"""The pair loss against the sum written out."""

import math

import pytest
import torch
import torch.nn.functional as F

from rewardmodel.learning.losses import better_than, davidson_loss, margins, pair_loss, ranking_loss

PLACES = torch.tensor([[1, 2, 2, 5, 3], [4, 1, 1, 0, 0], [2, 1, 3, 2, 0]])  # ties, gaps, padding


def written_out(rewards: list[list[float]], places: list[list[int]]) -> float:
    losses = []
    for row, where in zip(rewards, places, strict=True):
        for i, better in enumerate(where):
            for j, worse in enumerate(where):
                if 0 < better < worse:
                    losses.append(math.log(1 + math.exp(row[j] - row[i])))
    return sum(losses) / len(losses)


def test_it_is_the_mean_over_all_pairs_that_do_not_tie():
    rewards = torch.randn(PLACES.shape, dtype=torch.float64)
    expected = written_out(rewards.tolist(), PLACES.tolist())
    assert ranking_loss(rewards, PLACES).item() == pytest.approx(expected, rel=1e-12)


def test_the_loss_of_a_pair_is_minus_log_sigmoid_of_its_margin():
    margin = torch.randn(7, dtype=torch.float64)
    expected = [math.log(1 + math.exp(-each)) for each in margin.tolist()]
    assert pair_loss(margin).tolist() == pytest.approx(expected, rel=1e-12)
    rewards = torch.randn(PLACES.shape, dtype=torch.float64)
    assert torch.equal(ranking_loss(rewards, PLACES), pair_loss(margins(rewards)[better_than(PLACES)]).mean())


def test_its_gradient_is_that_of_scoring_pair_by_pair(model):
    """As the published code: both images of every pair encoded anew, then cross-entropy."""
    model.double()
    tokens = torch.randint(5, 13, (3, 6))
    mask = torch.ones_like(tokens)
    images = torch.randn(3, 5, 3, 16, 16, dtype=torch.float64)

    ranking_loss(model(tokens, mask, images, PLACES > 0), PLACES).backward()
    ours = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()

    losses = []
    for row, where in enumerate(PLACES.tolist()):
        for i, better in enumerate(where):
            for j, worse in enumerate(where):
                if 0 < better < worse:
                    text = tokens[row : row + 1], mask[row : row + 1]
                    two = [model.score(*text, images[row, image, None]) for image in (i, j)]
                    losses.append(F.cross_entropy(torch.stack(two, dim=1), torch.zeros(1, dtype=torch.long)))
    torch.stack(losses).mean().backward()
    theirs = [parameter.grad for parameter in model.parameters()]

    error = math.sqrt(sum(((a - b) ** 2).sum().item() for a, b in zip(ours, theirs, strict=True)))
    assert error / math.sqrt(sum((b**2).sum().item() for b in theirs)) < 1e-10


def test_micro_batches_with_a_fixed_divisor_add_up_to_the_whole():
    rewards = torch.randn(PLACES.shape, dtype=torch.float64)
    parts = sum(ranking_loss(rewards[row, None], PLACES[row, None], pairs=16) for row in range(3))
    assert parts.item() == pytest.approx(ranking_loss(rewards, PLACES, pairs=16).item(), rel=1e-12)


def test_what_stands_in_the_padding_does_not_matter():
    rewards = torch.randn(PLACES.shape)
    other = torch.where(PLACES > 0, rewards, 99.0)
    assert torch.equal(ranking_loss(rewards, PLACES), ranking_loss(other, PLACES))


def test_only_ties_are_refused():
    with pytest.raises(ValueError, match="different places"):
        ranking_loss(torch.zeros(1, 3), torch.tensor([[2, 2, 0]]))


def test_soft_labels_make_it_the_cross_entropy_with_them():
    rewards = torch.randn(PLACES.shape, dtype=torch.float64)
    preferred = torch.rand(*PLACES.shape, PLACES.shape[1], dtype=torch.float64)
    losses = []
    for row, where in enumerate(PLACES.tolist()):
        for i, better in enumerate(where):
            for j, worse in enumerate(where):
                if 0 < better < worse:
                    p, margin = preferred[row, i, j].item(), (rewards[row, i] - rewards[row, j]).item()
                    right, wrong = math.log(1 + math.exp(-margin)), math.log(1 + math.exp(margin))
                    losses.append(p * right + (1 - p) * wrong)
    found = ranking_loss(rewards, PLACES, preferred=preferred).item()
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    certain = ranking_loss(rewards, PLACES, preferred=torch.ones_like(preferred)).item()
    assert certain == pytest.approx(ranking_loss(rewards, PLACES).item(), rel=1e-12)


def pairs_written_out(places):
    """Row, images i and j of each pair: i the better one, or as good and before it."""
    for row, where in enumerate(places):
        for i, one in enumerate(where):
            for j, other in enumerate(where):
                if one and other and (one < other or (one == other and i < j)):
                    yield row, i, j


def test_ties_are_a_third_outcome_as_davidson_has_it():
    rewards, nu = torch.randn(PLACES.shape, dtype=torch.float64), 0.7
    losses, places = [], PLACES.tolist()
    for row, i, j in pairs_written_out(places):
        p, q = math.exp(rewards[row, i]), math.exp(rewards[row, j])
        share = nu * math.sqrt(p * q) if places[row][i] == places[row][j] else p
        losses.append(-math.log(share / (p + q + nu * math.sqrt(p * q))))
    found = davidson_loss(rewards, PLACES, torch.tensor(nu, dtype=torch.float64).log())
    assert len(losses) == 19
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_without_a_tie_and_with_no_room_for_one_it_is_the_papers_loss():
    rewards, places = torch.randn(2, 4, dtype=torch.float64), torch.tensor([[1, 2, 4, 5], [3, 1, 2, 0]])
    none = torch.tensor(-80.0, dtype=torch.float64)
    assert davidson_loss(rewards, places, none).item() == pytest.approx(ranking_loss(rewards, places).item())


def test_the_tie_parameter_is_learned_from_how_often_people_tie():
    """Of rewards that are all equal, the most likely nu is twice the odds of a tie."""
    log_tie = torch.zeros((), requires_grad=True)
    descent = torch.optim.LBFGS([log_tie], max_iter=100)

    def loss():
        descent.zero_grad()
        value = davidson_loss(torch.zeros(PLACES.shape), PLACES, log_tie)
        value.backward()
        return value

    descent.step(loss)
    assert log_tie.exp().item() == pytest.approx(2 * 3 / 16, rel=1e-3)


def test_a_margin_grows_with_the_slots_between_two_images():
    rewards, step = torch.randn(PLACES.shape, dtype=torch.float64), 0.3
    losses, places = [], PLACES.tolist()
    for row, i, j in pairs_written_out(places):
        gap = places[row][j] - places[row][i]
        if gap:
            margin = (rewards[row, i] - rewards[row, j]).item() - step * (gap - 1)
            losses.append(math.log(1 + math.exp(-margin)))
    found = ranking_loss(rewards, PLACES, slot_margin=step)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_ties_and_margins_go_together():
    rewards, nu, step = torch.randn(PLACES.shape, dtype=torch.float64), 0.7, 0.3
    losses, places = [], PLACES.tolist()
    for row, i, j in pairs_written_out(places):
        gap = places[row][j] - places[row][i]
        lead = (rewards[row, i] - rewards[row, j]).item() - step * max(gap - 1, 0)
        ways = math.exp(lead / 2) + math.exp(-lead / 2) + nu
        losses.append(-math.log((math.exp(lead / 2) if gap else nu) / ways))
    found = davidson_loss(rewards, PLACES, torch.tensor(nu, dtype=torch.float64).log(), slot_margin=step)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)
