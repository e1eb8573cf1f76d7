"""Which prompts say again what another says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardmodel.selection.duplicates import drop_duplicates, near_duplicates, word_pairs

SCENE = "a castle on a hill at sunset, oil painting by a dutch master, highly detailed, sharp focus, 8 k"


def plainly(texts, threshold):
    """Each text against every one kept before it."""
    pairs, repeats = [word_pairs(text) for text in texts], {}
    for i, mine in enumerate(pairs):
        for j in range(i):
            if j not in repeats and len(mine & pairs[j]) >= threshold * len(mine | pairs[j]) - 1e-9:
                repeats[i] = j
                break
    return repeats


@settings(max_examples=150, deadline=None, database=None)
@given(
    texts=st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=6).map(" ".join), max_size=12
    ),
    threshold=st.sampled_from([0.2, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0, 2.0]),
)
def test_looking_at_rare_words_only_misses_no_near_duplicate(texts, threshold):
    assert near_duplicates(texts, threshold=threshold) == plainly(texts, threshold)


def test_texts_that_differ_in_case_spaces_and_letter_forms_are_exact_duplicates():
    found = drop_duplicates(["A fox", "a  FOX ", "\uff41 fox", "a foxes"], threshold=2)
    assert (found.kept, found.exact, found.near) == ([0, 3], 2, 0)


def test_a_long_prompt_with_one_word_more_is_a_near_duplicate_and_the_first_stays():
    found = drop_duplicates(["a fox", SCENE, SCENE + " artstation"], threshold=0.9)
    assert (found.kept, found.exact, found.near) == ([0, 1], 0, 1)


def test_punctuation_makes_no_other_prompt():
    assert near_duplicates(["a red fox, sharp focus", "a red fox; sharp focus!"], threshold=1.0) == {1: 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red fox", "a blue fox"),
        ("a cat on a dog", "a dog on a cat"),
        ("\N{FOX FACE} in the snow", "\N{OWL} in the snow"),
        (SCENE, SCENE.replace("castle", "ship")),
    ],
)
def test_another_subject_or_another_order_is_another_prompt(one, other):
    assert near_duplicates([one, other], threshold=0.9) == {}


def test_prompts_without_words_are_compared_whole():
    assert drop_duplicates(["!!!", "???", "!!!"], threshold=0.9).kept == [0, 1]
