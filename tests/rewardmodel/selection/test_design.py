"""D-optimal choice: what an answer tells of the reward's weights, and which prompts together tell most."""

import math
from itertools import combinations

import numpy as np
import pytest

from rewardmodel.selection.design import (
    d_optimal,
    information_root,
    most_gaining,
    prior_precision,
    weight_covariance,
)


def random_groups(seed, groups=12, images=4, width=5):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(images, width)), rng.normal(size=images)) for _ in range(groups)]


def information(features, rewards):
    """The sum over pairs, written out."""
    total = np.zeros((features.shape[1], features.shape[1]))
    for i, j in combinations(range(len(rewards)), 2):
        p = 1 / (1 + math.exp(-(rewards[i] - rewards[j])))
        total += p * (1 - p) * np.outer(features[i] - features[j], features[i] - features[j])
    return total


def test_the_root_squared_is_the_fisher_information_of_all_pairs():
    for features, rewards in random_groups(1):
        root = information_root(features, rewards)
        assert root.shape == (3, 5)
        np.testing.assert_allclose(root.T @ root, information(features, rewards), atol=1e-12)


def test_without_rewards_every_pair_is_as_open_as_can_be():
    [(features, _)] = random_groups(6, groups=1)
    root = information_root(features)
    np.testing.assert_allclose(root.T @ root, information(features, np.zeros(4)), atol=1e-12)


def test_the_fisher_information_is_the_curvature_of_the_pair_loss():
    [(features, _)] = random_groups(2, groups=1, images=3, width=2)
    weights = np.array([0.7, -0.4])

    def loss(w):
        """Expected over answers drawn by `weights`, so that its curvature there is the information."""
        total = 0.0
        for i, j in combinations(range(3), 2):
            p = 1 / (1 + math.exp(-(features[i] - features[j]) @ weights))
            margin = (features[i] - features[j]) @ w
            total += p * math.log1p(math.exp(-margin)) + (1 - p) * math.log1p(math.exp(margin))
        return total

    step, curvature = 1e-4, np.empty((2, 2))
    for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        u, v = step * np.eye(2)[a], step * np.eye(2)[b]
        corners = (
            loss(weights + u + v) - loss(weights + u - v) - loss(weights - u + v) + loss(weights - u - v)
        )
        curvature[a, b] = corners / (4 * step**2)
    root = information_root(features, features @ weights)
    np.testing.assert_allclose(root.T @ root, curvature, atol=1e-6)


def test_images_that_look_the_same_to_the_model_tell_nothing_and_huge_margins_overflow_nowhere():
    assert np.abs(information_root(np.ones((3, 4)), np.zeros(3))).max() < 1e-12
    root = information_root(np.eye(2), np.array([-5000.0, 5000.0]))
    assert np.isfinite(root).all()
    assert np.abs(root).max() < 1e-12


def test_each_choice_is_the_one_after_which_the_determinant_is_largest():
    roots = {10 + at: information_root(*group) for at, group in enumerate(random_groups(3))}
    asked = [information_root(*group) for group in random_groups(4, groups=2)]
    total = 0.5 * np.eye(5) + sum(root.T @ root for root in asked)
    expected, left = [], dict(roots)
    for _ in range(8):
        best = max(left, key=lambda key: np.linalg.slogdet(total + left[key].T @ left[key])[1])
        expected.append(best)
        total += left[best].T @ left[best]
        del left[best]
    assert d_optimal(roots, 8, asked=asked, precision=0.5) == expected


def test_what_was_asked_already_is_not_what_is_asked_next():
    along_x, along_y = np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])
    assert d_optimal({1: along_x, 2: along_y}, 1, precision=0.1) == [1]
    assert d_optimal({1: along_x, 2: along_y}, 1, asked=[along_x], precision=0.1) == [2]


def test_asked_to_stop_it_returns_what_was_chosen_until_then():
    roots = {at: information_root(*group) for at, group in enumerate(random_groups(3))}
    looks = iter([False, False, True])
    stopped = d_optimal(roots, 8, precision=0.5, should_stop=lambda: next(looks))
    assert 1 <= len(stopped) <= 2
    assert stopped == d_optimal(roots, 8, precision=0.5)[: len(stopped)]


def test_only_those_that_gain_most_by_themselves_stay_in_memory():
    roots = {at: information_root(*group) for at, group in enumerate(random_groups(3))}
    asked = [information_root(*group) for group in random_groups(4, groups=2)]
    known = 0.5 * np.eye(5) + sum(root.T @ root for root in asked)
    gains = {
        key: np.linalg.slogdet(known + root.T @ root)[1] - np.linalg.slogdet(known)[1]
        for key, root in roots.items()
    }
    covariance = weight_covariance(asked, width=5, precision=0.5)
    pool, by_gain = most_gaining(roots.items(), 3, covariance=covariance)
    assert by_gain == sorted(gains, key=lambda key: -gains[key])
    assert pool.keys() == set(by_gain[:3])
    assert all(pool[key] is roots[key] for key in pool)


def test_ties_hold_to_the_order_of_keys_and_a_small_pool_is_taken_whole():
    same = np.array([[1.0, 0.0]])
    assert d_optimal({9: same, 4: same, 7: same}, 2, precision=1.0) == [4, 7]
    assert sorted(d_optimal({9: same, 4: same}, 5, precision=1.0)) == [4, 9]
    assert d_optimal({}, 3, precision=1.0) == []


def test_weights_of_the_prior_give_margins_of_a_tenth_of_a_variance_of_1():
    groups = [features for features, _ in random_groups(5)] + [np.ones((2, 5))]
    squares = [
        ((features[i] - features[j]) ** 2).sum()
        for features in groups
        for i, j in combinations(range(len(features)), 2)
    ]
    assert prior_precision(groups) == pytest.approx(10 * np.mean(squares))
    assert prior_precision([np.ones((3, 2))]) == 1.0  # nothing differs: any will do
