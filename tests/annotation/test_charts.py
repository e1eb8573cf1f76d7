"""Where intervals are drawn."""

from annotation.charts import Whisker, whisker


def test_a_figure_lies_between_the_ends_of_its_axis():
    assert whisker(0.5, 0.6, 0.75, mark=0.5, axis=(0.5, 0.75)) == Whisker(0.0, 40.0, 100.0, 0.0)


def test_a_mark_may_lie_outside():
    assert whisker(1.0, 2.0, 3.0, mark=0.0, axis=(1.0, 3.0)).mark == -50.0


def test_where_nothing_varies_everything_lies_at_the_start():
    assert whisker(0.4, 0.4, 0.4, mark=0.4, axis=(0.4, 0.4)) == Whisker(0.0, 0.0, 0.0, 0.0)
