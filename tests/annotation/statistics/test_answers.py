"""Two answers to one prompt against each other."""

from annotation.statistics.answers import compare


def test_agreement_counts_pairs_with_one_tie_against_none_as_half():
    assert compare({1: 1, 2: 2, 3: 3}, {1: 1, 2: 2, 3: 3}) == (3.0, 3)
    assert compare({1: 1, 2: 2, 3: 3}, {1: 3, 2: 2, 3: 1}) == (0.0, 3)
    assert compare({1: 1, 2: 1, 3: 3}, {1: 2, 2: 2, 3: 2}) == (2.0, 3)


def test_only_images_in_both_answers_are_compared():
    assert compare({1: 1, 2: 2, 3: 3}, {1: 1, 2: 2}) == (1.0, 1)
