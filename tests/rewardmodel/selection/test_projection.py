"""The map's two directions."""

import numpy as np
import pytest

from rewardmodel.selection.projection import principal_plane


def test_the_plane_is_that_of_the_largest_singular_values():
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * [5, 3, 1, 1, 1]
    plane = principal_plane(vectors)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    sizes = np.linalg.svd(centred, compute_uv=False)
    assert np.linalg.norm(plane.points, axis=0) == pytest.approx(sizes[:2], rel=1e-5)
    assert plane.shares == pytest.approx(tuple(sizes[:2] ** 2 / (sizes**2).sum()), rel=1e-5)


def test_the_picture_does_not_flip():
    vectors = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    assert principal_plane(vectors[::-1].copy()).points[::-1] == pytest.approx(
        principal_plane(vectors).points, abs=1e-6
    )


def test_equal_vectors_lie_on_one_point():
    plane = principal_plane(np.ones((3, 4), np.float32))
    assert np.abs(plane.points).max() < 1e-6
