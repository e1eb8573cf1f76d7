"""The paper's graph selection, against the same said plainly: one vertex, one vote at a time, exactly."""

from fractions import Fraction
from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardmodel.selection.config import SelectionConfig
from rewardmodel.selection.graph import choose, covered, covered_by_chance, nearest_neighbours, partition

quickly = settings(max_examples=60, deadline=None, database=None)


def plain_neighbours(vectors, k):
    def cosine(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / sqrt(sum(x * x for x in a)) / sqrt(sum(y * y for y in b))

    rows = vectors.tolist()
    found = []
    for i, mine in enumerate(rows):
        others = [j for j in range(len(rows)) if j != i]
        nearest = sorted(others, key=lambda j: (-cosine(mine, rows[j]), j))[:k]
        found.append(sorted(nearest))
    return found


def plain_choice(neighbours, count, discount):
    """(vertex, score, voters) in order, every score summed anew before every choice."""
    everyone = range(len(neighbours))
    voters = {u: [i for i in everyone if u in neighbours[i]] for u in everyone}
    times, chosen = dict.fromkeys(everyone, 0), []
    while len(chosen) < count:
        done = {vertex for vertex, _, _ in chosen}
        scores = {
            u: sum(Fraction(discount) ** -times[i] for i in voters[u] if i not in done)
            for u in everyone
            if u not in done
        }
        best = max(scores, key=lambda u: (scores[u], len(voters[u]), -u), default=None)
        if best is None or scores[best] == 0:
            break
        chosen.append((best, pytest.approx(float(scores[best])), len(voters[best])))
        for i in voters[best]:
            times[i] += 1
    return chosen


@st.composite
def graphs(draw):
    n = draw(st.integers(2, 14))
    k = draw(st.integers(1, n - 1))
    row = st.permutations(range(n - 1)).map(lambda order: order[:k])
    rows = [[j + (j >= i) for j in draw(row)] for i in range(n)]
    return np.array([sorted(row) for row in rows])


@quickly
@given(graph=graphs(), count=st.integers(1, 14), discount=st.sampled_from([10.0, 2.0, 1.5]))
def test_incremental_votes_choose_as_votes_counted_anew(graph, count, discount):
    # With discount 2 or 1.5 many sums are equal although their terms are not.
    found = [(c.vertex, c.score, c.voters) for c in choose(graph, count, discount=discount)]
    assert found == plain_choice(graph.tolist(), count, discount)


def test_a_larger_graph_is_chosen_from_as_plainly():
    vectors = np.random.default_rng(5).normal(size=(150, 12)).astype(np.float32)
    graph = nearest_neighbours(vectors, 15)
    found = [(c.vertex, c.score, c.voters) for c in choose(graph, 150, discount=10.0)]
    assert found == plain_choice(graph.tolist(), 150, 10.0)
    assert len(found) > 50


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_neighbours_found_in_blocks_are_those_found_one_by_one(block):
    vectors = np.random.default_rng(3).normal(size=(101, 8)).astype(np.float32)
    assert nearest_neighbours(vectors, 9, block=block).tolist() == plain_neighbours(vectors, 9)


@pytest.mark.parametrize("k", [1, 2, 5, 30])
def test_of_equally_near_neighbours_the_earlier_ones_are_taken(k):
    # Signs only: many cosines are equal, and each is exact in floating point.
    vectors = np.random.default_rng(1).choice([-1.0, 1.0], size=(70, 4)).astype(np.float32)
    assert nearest_neighbours(vectors, k).tolist() == plain_neighbours(vectors, k)


def test_nobody_is_its_own_neighbour_even_among_copies():
    graph = nearest_neighbours(np.ones((6, 4), np.float32), 3)
    assert all(vertex not in row for vertex, row in enumerate(graph.tolist()))


def test_with_fewer_others_than_neighbours_each_votes_for_all_others():
    graph = nearest_neighbours(np.eye(4, dtype=np.float32), 150)
    assert graph.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert nearest_neighbours(np.ones((1, 4), np.float32), 150).shape == (1, 0)


def test_neighbours_do_not_depend_on_the_length_of_vectors():
    vectors = np.random.default_rng(4).normal(size=(40, 6)).astype(np.float32)
    longer = vectors * np.linspace(1, 9, 40, dtype=np.float32)[:, None]
    assert (nearest_neighbours(longer, 5) == nearest_neighbours(vectors, 5)).all()


def test_what_nobody_votes_for_is_never_chosen():
    graph = np.array([[1], [2], [1], [2]])
    assert [c.vertex for c in choose(graph, 4, discount=10.0)] == [1, 2]
    assert choose(nearest_neighbours(np.ones((1, 4), np.float32), 5), 1, discount=10.0) == []


def test_a_crowd_that_was_served_gives_way_to_a_smaller_one():
    # 0-3 vote for 4 and 5, which are much alike; 6-8 vote for 9 and one another.
    graph = np.array(
        [[4, 5], [4, 5], [4, 5], [4, 5], [5, 0], [4, 0], [7, 9], [8, 9], [6, 9], [6, 7]],
    )
    assert [c.vertex for c in choose(graph, 2, discount=10.0)] == [4, 9]


def test_sets_share_the_prompts_evenly_and_follow_from_the_seed():
    sets = partition(103, set_size=20, seed=1)
    assert sorted(np.concatenate(sets)) == list(range(103))
    assert {len(one) for one in sets} == {20, 21}
    again, other = partition(103, set_size=20, seed=1), partition(103, set_size=20, seed=2)
    assert [one.tolist() for one in sets] == [one.tolist() for one in again]
    assert [one.tolist() for one in sets] != [one.tolist() for one in other]


def test_a_pool_smaller_than_a_set_is_one_set():
    assert [len(one) for one in partition(7, set_size=20_000, seed=0)] == [7]


def test_coverage_by_chance_is_the_mean_over_all_draws():
    graph = nearest_neighbours(np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32), 2)
    for count in (1, 3, 6, 7, 9):
        draws = [covered(graph, np.array(draw)) for draw in combinations(range(9), count)]
        assert covered_by_chance(9, 2, count) == pytest.approx(sum(draws) / len(draws))


def test_the_defaults_are_the_papers():
    config = SelectionConfig()
    assert (config.set_size, config.per_set, config.neighbours, config.discount) == (20_000, 100, 150, 10)
    assert config.wanted(100) == [100] * 100


def test_a_number_in_all_is_shared_by_the_sets():
    assert SelectionConfig(count=10).wanted(4) == [3, 3, 2, 2]


@pytest.mark.parametrize(
    "field",
    [
        {"count": 0},
        {"per_set": 0},
        {"set_size": 0},
        {"neighbours": 0},
        {"discount": 1.0},
        {"discount": float("nan")},
        {"near_duplicates": 0.0},
        {"seed": -1},
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        SelectionConfig(**field)


def test_votes_too_small_for_numbers_are_refused():
    with pytest.raises(ValueError, match="too small to add up"):
        SelectionConfig(neighbours=400)
