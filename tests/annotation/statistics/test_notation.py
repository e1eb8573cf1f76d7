"""How figures are written for people."""

import pytest

from annotation.statistics import notation

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (notation.decimals(-0.0748), f"{MINUS}0.075"),
        (notation.decimals(12.25, 1), "12.2"),
        (notation.signed(0.2), "+0.200"),
        (notation.significant(-0.0007481), f"{MINUS}0.000748"),
        (notation.percent(0.653), "65.3 %"),
        (notation.percent(0.7, 0), "70 %"),
        (notation.interval(-0.0213, 0.679), f"{MINUS}0.021 to 0.679"),
        (notation.percent_interval(-0.021, 0.679), f"{MINUS}2.1 to 67.9"),
        (notation.change(-0.0443, -0.134, 0.0201), f"{MINUS}0.044 ({MINUS}0.134 to +0.020)"),
    ],
)
def test_a_figure_has_a_minus_sign_a_space_before_per_cent_and_an_interval_in_words(written, expected):
    assert written == expected


@pytest.mark.parametrize("value", [0.0, -0.0, -0.0001])
def test_what_rounds_to_zero_has_no_minus(value):
    assert notation.decimals(value) == "0.000"
    assert notation.signed(value) == "+0.000"
