"""Vectors on a plane, to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plane:
    """`points` (N, 2), the widest direction first; `shares`: of the variance that each direction carries."""

    points: NDArray[np.float64]
    shares: tuple[float, float]


def principal_plane(vectors: NDArray[np.float32]) -> Plane:
    """The two directions in which unit vectors vary most (principal component analysis).

    Each direction points to where its largest coefficient is positive, so that the picture does not flip.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = (unit - unit.mean(axis=0)).astype(np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    two = directions[:, [-1, -2]] if directions.shape[1] > 1 else np.pad(directions, ((0, 0), (0, 1)))
    two *= np.where(two[np.abs(two).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    total = float(variances.sum()) or 1.0
    largest = [*variances[::-1], 0.0][:2]
    return Plane(points=centred @ two, shares=(float(largest[0]) / total, float(largest[1]) / total))
