"""What a project's people think together."""

import pytest

from annotation.selectors.results.agreement import project_consensus
from tests.rankings import add_images, rank_images


def test_the_probability_of_a_pair_follows_the_opinions_on_it(project, alice, bob):
    [agreed, split, lone] = add_images(project, 3, ["a", "b"])
    rank_images(alice, [(agreed, [1, 2]), (split, [1, 2]), (lone, [1, 2])])
    rank_images(bob, [(agreed, [1, 2]), (split, [2, 1])])
    found = project_consensus(project)
    together, apart, alone = (found.preferred(one.pk, other.pk) for one, other in (agreed, split, lone))
    assert together > alone > apart
    assert apart == pytest.approx(0.5)
    assert found.preferred(agreed[1].pk, agreed[0].pk) == pytest.approx(1 - together)


def test_an_image_that_nobody_placed_has_no_probability(project, alice):
    [judged, other] = add_images(project, 2, ["a", "b"])
    rank_images(alice, [(judged, [1, 2])])
    with pytest.raises(KeyError):
        project_consensus(project).preferred(other[0].pk, other[1].pk)
