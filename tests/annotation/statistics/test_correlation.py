"""The correlation of ranks, on the figures of the paper's Table 1."""

import pytest

from annotation.statistics.correlation import spearman


def test_spearman_is_that_of_the_papers_table_1():
    """People's ranks beside those of ImageReward, CLIP, and FID on COCO: 1.00, 0.60, 0.09."""
    people = (6.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert spearman(people, (6.0, 5.0, 4.0, 3.0, 2.0, 1.0)) == pytest.approx(1)
    assert spearman(people, (5.0, 3.0, 4.0, 6.0, 2.0, 1.0)) == pytest.approx(0.6)
    assert spearman(people, (2.0, 3.0, 6.0, 5.0, 4.0, 1.0)) == pytest.approx(0.09, abs=0.005)
    assert spearman((1.0, 2.0), (3.0, 3.0)) is None


def test_spearman_is_the_correlation_of_ranks():
    # The paper's Table 1: people's order of six models, against ImageReward's and CLIP's.
    people = [507, 463, 390, 362, 340, 74]
    assert spearman(people, [0.2614, 0.2458, 0.2114, 0.1344, -0.2470, -1.2376]) == pytest.approx(1)
    clip = [0.2726, 0.2683, 0.2684, 0.2763, 0.2606, 0.2044]
    assert spearman(people, clip) == pytest.approx(0.6, abs=0.005)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
