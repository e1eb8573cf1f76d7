"""Studies: shares of captions shown rightly, diversity over seeds, and whom people prefer without knowing."""

import pytest

from demo.people import Person
from demo.study import DIVERSITY, RIGHT, Judged, Preference, blind_preference
from demo.world.annotators import Annotator
from demo.world.oracle import Verdict

PEOPLE = [Person(f"person-{seed}", "", Annotator.drawn(seed)) for seed in range(4)]


def judged(*alignments):
    """Two images a caption, both of this alignment."""
    return Judged(
        verdicts=[[Verdict(alignment, 0.5, 0.8)] * 2 for alignment in alignments],
        rewards=[[0.0, 0.0] for _ in alignments],
        diversity=[[0.1 * number] for number, _ in enumerate(alignments)],
    )


def test_a_caption_is_shown_rightly_when_hardly_anything_is_missing():
    study = judged(0.96, 0.94, 1.0)
    assert study.scores(RIGHT) == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    assert study.mean(RIGHT) == pytest.approx(2 / 3)
    assert study.mean("alignment") == pytest.approx((0.96 + 0.94 + 1.0) / 3)


def test_diversity_is_a_number_of_each_caption():
    assert judged(1.0, 1.0, 1.0).mean(DIVERSITY) == pytest.approx(0.1)


def test_better_pictures_are_preferred_whichever_comes_first():
    worse, better = judged(*[0.5] * 60), judged(*[0.9] * 60)
    won = blind_preference(worse, better, people=PEOPLE, seed=0)
    lost = blind_preference(better, worse, people=PEOPLE, seed=0)
    assert won.pairs == lost.pairs == 120
    assert won.decided > 100
    assert won.share > 0.9
    assert lost.share < 0.1


def test_the_oracle_prefers_the_image_that_it_scores_higher_and_an_equal_one_half():
    rival, other = judged(0.5, 0.9, 0.7, 0.7), judged(0.9, 0.5, 0.9, 0.7)
    rate = other.win_rate(rival)
    assert (rate.value, rate.count, rate.prompts) == (5 / 8, 8, 4)
    assert rival.win_rate(other).value == 3 / 8


def test_equal_generators_are_preferred_half_of_the_time():
    same = judged(*[0.7] * 400)
    preference = blind_preference(same, same, people=PEOPLE, seed=0)
    assert preference.decided < preference.pairs == 800
    assert preference.interval.low < 0.5 < preference.interval.high


def test_the_interval_of_the_share_is_over_captions():
    preference = Preference([[1, 1]] * 8 + [[-1, -1]] * 2 + [[0, 0]])
    assert (preference.pairs, preference.decided, preference.share) == (22, 20, 0.8)
    # ten captions that agree in themselves say no more than ten pairs would
    alone = Preference([[1]] * 8 + [[-1]] * 2)
    assert preference.interval == alone.interval
    assert Preference([[1]] * 8 + [[0]] * 8).interval is None
    assert preference.interval.low == pytest.approx(0.5, abs=0.11)
