"""Function words: what asks for a better picture is told from what says which."""

import pytest

from annotation.statistics.function_words import PHRASES, function_share


@pytest.mark.parametrize(
    ("text", "words", "of"),
    [
        ("a fox in the snow", 0, 5),
        ("a fox, 8k, highly detailed", 4, 6),
        ("a fox, 8 k", 2, 4),
        ("a fox, 8-K", 2, 4),
        ("Award - Winning photo of a fox", 3, 6),
        ("a fox trending on ArtStation, sharp focus", 5, 7),
        ("masterpiece", 1, 1),
        ("a sharpened 4kg detailing", 0, 5),  # no phrase within a word: 4 and kg are two
        ("ein Füchslein, artstation", 1, 3),
        ("狐, 8k", 2, 3),
        ("", 0, 1),
        ("...!", 0, 1),
    ],
)
def test_the_share_is_of_words_in_function_phrases(text, words, of):
    assert function_share(text) == pytest.approx(words / of)


def test_the_longest_phrase_counts_once():
    assert function_share("trending on artstation hq fox") == pytest.approx(4 / 5)


def test_phrases_are_written_as_words_are_parted():
    for phrase in " ".join(PHRASES.split("\n")).strip().split("|"):
        assert function_share(phrase) == 1, phrase
