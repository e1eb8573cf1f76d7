"""Where everything of a line chart is drawn, and what is said of it."""

import pytest
from django.template.loader import render_to_string

from annotation.line_charts import draw, ticks


def a_chart(*series, **fields):
    return {"id": "loss", "label": "Loss", "x": "step", "format": "0.00", "series": list(series), **fields}


def training(points, **fields):
    return {"name": "training", "points": points, **fields}


def noisy(count, spike=None):
    """A line from 1 to 2 with noise of 0.1 either way, and maybe one value far above it."""
    points = [[step, 1 + step / count + 0.1 * (-1) ** (step // 2)] for step in range(1, count + 1)]
    if spike is not None:
        points[spike][1] = 100.0
    return points


def test_points_lie_where_they_should_on_both_axes():
    drawing = draw(a_chart(training([[1, 0.0], [2, 0.5], [3, 1.0]], dots=True)))
    assert drawing.ticks == [(100.0, "0.00"), (50.0, "0.50"), (0.0, "1.00")]
    assert (drawing.start, drawing.end) == ("1", "step 3")
    [line] = drawing.lines
    assert line.dots == [(0.0, 100.0), (50.0, 50.0), (100.0, 0.0)]
    assert line.curve == "M0 1000L500 500L1000 0"
    assert line.readings == [(1.0, "0.00", ""), (2.0, "0.50", ""), (3.0, "1.00", "")]


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (0.13, 0.32, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
        (-3.0, 41.0, [-20.0, 0.0, 20.0, 40.0, 60.0]),
        (2.0, 2.0, [2.0, 2.5]),
        (0.0, 0.0, [0.0, 0.5]),
    ],
)
def test_the_vertical_axis_has_round_numbers_around_what_it_holds(low, high, marks):
    assert ticks(low, high, wanted=4) == pytest.approx(marks)


@pytest.mark.parametrize("form", [None, "0.00", "%"])
def test_what_is_below_0_has_the_minus_sign_that_tables_have(form):
    drawing = draw({**a_chart(training([[1, -0.5], [2, 0.0]])), "format": form})
    written = [words for _, words in drawing.ticks]
    assert written[0].startswith("\N{MINUS SIGN}")
    assert not any("-" in words for words in [*written, drawing.summary])


def test_a_zero_has_no_minus_sign():
    [line] = draw({**a_chart(training([[1, -0.0], [2, 0.5]])), "format": None}).lines
    assert line.readings[0] == (1.0, "0", "")


def test_a_smooth_line_lies_over_the_raw_one():
    [line] = draw(a_chart(training(noisy(60), smooth=True))).lines
    assert line.raw
    assert line.raw != line.curve
    assert line.note == "(raw 2.10)"
    [short] = draw(a_chart(training(noisy(6), smooth=True))).lines
    assert not short.raw
    assert (short.value, short.note) == ("1.90", "")


def test_a_spike_does_not_flatten_the_curve_and_is_marked_at_the_edge():
    drawing = draw(a_chart(training(noisy(60, spike=29), smooth=True)))
    assert float(drawing.ticks[-1][1]) < 3
    [line] = drawing.lines
    assert line.above == [50.0]
    assert line.readings[29][::2] == (30.0, "(raw 100.00)")


def test_what_is_not_smoothed_is_drawn_whole():
    assert draw(a_chart(training(noisy(60, spike=29)))).ticks[-1][1] == "100.00"


def test_an_interval_is_outlined_and_told_and_held_by_the_axis():
    band = [[1, 0.2, 0.8], [2, 0.4, 1.5], [3, 0.0, 9.0]]  # of the last there is no point yet
    drawing = draw(a_chart(training([[1, 0.5], [2, 1.0]], band=band)))
    assert drawing.ticks[-1][1] == "1.50"
    [line] = drawing.lines
    assert line.band == "M0 467L1000 0L1000 733L0 867Z"
    assert line.readings[-1] == (2.0, "1.00", "(0.40 to 1.50)")


def test_series_of_other_steps_share_the_axes_and_every_step_is_read():
    held_out = {"name": "held out", "points": [[0, 0.4], [4, 0.6]], "dots": True}
    drawing = draw(a_chart(training([[1, 0.2], [2, 0.4], [4, 1.0]]), held_out))
    assert [step for step, *_ in drawing.readings["steps"]] == [0, 1, 2, 4]
    assert drawing.readings["steps"][-1] == (4.0, 100.0, "step 4")
    assert [line.number for line in drawing.lines] == [1, 2]
    assert drawing.summary == "training 1.00 at step 4, held out 0.60 at step 4"


def test_shares_stand_at_whole_percents_where_the_ticks_do():
    wide = draw(a_chart(training([[1, 0.61], [2, 0.79]]), format="%"))
    assert [words for _, words in wide.ticks] == ["60 %", "65 %", "70 %", "75 %", "80 %"]
    assert wide.lines[0].readings[0] == (1.0, "61.0 %", "")
    narrow = draw(a_chart(training([[1, 0.611], [2, 0.619]]), format="%"))
    assert [words for _, words in narrow.ticks][:2] == ["61.0 %", "61.2 %"]


def test_the_only_step_of_a_chart_is_named_once():
    drawing = draw(a_chart(training([[3, 0.5]])))
    assert (drawing.start, drawing.end) == ("step 3", "")


def test_days_are_called_by_their_names():
    drawing = draw(a_chart(training([[0, 3], [1, 5]]), ends=["1 Mar", "2 Mar"], names=["1 Mar", "2 Mar"]))
    assert (drawing.start, drawing.end) == ("1 Mar", "2 Mar")
    assert [name for *_, name in drawing.readings["steps"]] == ["1 Mar", "2 Mar"]


def test_what_was_not_measured_is_left_out_and_nothing_is_not_drawn():
    [line] = draw(a_chart(training([[1, None], [2, 0.5]]), training([]))).lines
    assert line.dots == [(0.0, 50.0)]
    assert line.curve == ""
    assert draw(a_chart(training([]))).lines == []


def test_without_a_script_a_chart_is_drawn_and_told():
    held_out = {"name": "held out", "points": [[1, 0.5]], "dots": True}
    marks = [{"x": 1, "label": "best so far", "tone": "good"}]
    page = render_to_string(
        "components/chart.html", {"chart": a_chart(training(noisy(20), smooth=True), held_out, marks=marks)}
    )
    assert 'aria-label="Loss: training' in page
    assert "held out 0.50 at step 1, best so far at step 1" in page
    assert 'class="raw series-1"' in page
    assert 'class="mark good"' in page
    empty = render_to_string("components/chart.html", {"chart": a_chart(training([]))})
    assert "Nothing to draw yet." in empty


def test_figures_each_for_itself_have_bars_beside_each_other_and_are_not_joined():
    people = {
        "name": "people",
        "apart": True,
        "points": [[0, 0.6], [1, 0.7]],
        "band": [[0, 0.5, 0.7], [1, 0.6, 0.8]],
    }
    oracle = {"name": "oracle", "apart": True, "points": [[1, 0.65]]}
    drawing = draw(a_chart(people, oracle, format="%", names=["small", "tuned"], level=0.5))
    first, second = drawing.lines
    assert (first.curve, first.band) == ("", "")
    assert first.dots == [(25.0, 66.67), (75.0, 33.33)]
    assert first.bars == [(25.0, 33.33, 100.0), (75.0, 0.0, 66.67)]
    assert (first.shift, second.shift) == (-4.0, 4.0)
    assert drawing.level == 100.0
    assert drawing.summary == "people 70.0 % (60.0 % to 80.0 %) at tuned, oracle 65.0 % at tuned"
    assert render_to_string("components/chart.html", {"chart": a_chart(people)}).count("interval") == 2
