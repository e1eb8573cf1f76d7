"""Prompts to tune on: which are refused, and what is said of those that are too long."""

import re

import pytest

from refl.learning.families.loading import load_family
from refl.learning.prompts import BadPrompts, check_prompts, describe_cut


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("", "prompt 2 of 3 is empty: leave it out"),
        (" \t\n", "prompt 2 of 3 is empty: leave it out"),
        ("half of a \ud83d", "prompt 2 of 3 holds half a character"),
        (None, "prompt 2 of 3 is no text but None"),
    ],
)
def test_a_prompt_that_cannot_be_tuned_on_is_named(prompt, line):
    with pytest.raises(BadPrompts, match=re.escape(line)):
        check_prompts(["a red page", prompt, "a blue page"])


def test_prompts_that_are_cut_off_are_counted_each_once(pipeline_folder):
    family = load_family(pipeline_folder, "cpu")
    read = family.pipeline, family.text_limits
    fits, long = (" ".join("abcdefghijklmno"[:count]) for count in (14, 15))  # and a token at each end
    assert describe_cut(*read, [fits, "a"], what="prompts") == []
    assert describe_cut(*read, [], what="prompts") == []
    [line] = describe_cut(*read, [fits, long, long, f"{long} {long}"], what="prompts")
    assert line.startswith(
        "2 of 3 prompts are longer than the 16 tokens that the generator's text_encoder reads: what comes"
    )
    whole, cut = (family.pipeline.tokenizer(text, truncation=True).input_ids for text in (fits, long))
    assert whole == cut
