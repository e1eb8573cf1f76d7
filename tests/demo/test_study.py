"""Studies: shares of captions shown rightly, diversity over seeds, and whom people prefer without knowing."""

from math import sqrt

import pytest
from PIL import Image

from annotation.statistics.estimates import wilson_interval
from demo.people import Person
from demo.study import DIVERSITY, RIGHT, Judged, Preference, blind_preference, difference
from demo.world.annotators import Annotator
from demo.world.oracle import Verdict

PEOPLE = [Person(f"person-{seed}", "", Annotator.drawn(seed)) for seed in range(4)]


def judged(*alignments):
    """Two images a caption, both of this alignment."""
    return Judged(
        verdicts=[[Verdict(alignment, 0.5, 0.8)] * 2 for alignment in alignments],
        rewards=[[0.0, 0.0] for _ in alignments],
        differences=[[0.1 * number] for number, _ in enumerate(alignments)],
    )


def test_a_caption_is_shown_rightly_when_hardly_anything_is_missing():
    study = judged(0.96, 0.94, 1.0)
    assert study.scores(RIGHT) == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    assert study.mean(RIGHT) == pytest.approx(2 / 3)
    assert study.mean("alignment") == pytest.approx((0.96 + 0.94 + 1.0) / 3)


def test_diversity_is_the_mean_difference_of_a_captions_images():
    assert judged(1.0, 1.0, 1.0).mean(DIVERSITY) == pytest.approx(0.1)
    black = Image.new("RGB", (4, 4))
    half = black.copy()
    half.paste((255, 255, 255), (0, 0, 4, 2))
    assert difference(black, black) == 0
    assert difference(black, half) == pytest.approx(sqrt(0.5))


def test_better_pictures_are_preferred_whichever_comes_first():
    worse, better = judged(*[0.5] * 60), judged(*[0.9] * 60)
    won = blind_preference(worse, better, people=PEOPLE, seed=0)
    lost = blind_preference(better, worse, people=PEOPLE, seed=0)
    assert won.pairs == lost.pairs == 120
    assert won.decided > 100
    assert won.share > 0.9
    assert lost.share < 0.1


def test_equal_generators_are_preferred_half_of_the_time():
    same = judged(*[0.7] * 400)
    preference = blind_preference(same, same, people=PEOPLE, seed=0)
    assert preference.decided < preference.pairs == 800
    assert preference.interval.low < 0.5 < preference.interval.high


def test_the_share_has_wilsons_interval():
    preference = Preference(preferred=8, decided=10, pairs=12)
    assert preference.share == 0.8
    # the interval's ends are where the share is 1.96 standard errors of the end itself away
    for end in (preference.interval.low, preference.interval.high):
        assert abs(0.8 - end) == pytest.approx(1.96 * sqrt(end * (1 - end) / 10), rel=1e-3)
    nobody = wilson_interval(0, 10)
    assert (nobody.low, nobody.high) == (0.0, pytest.approx(0.2775, abs=1e-4))
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(0, 0)
