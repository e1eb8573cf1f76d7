"""Seeds of a prompt's images."""

from refl.drawing import seeds_of


def test_images_of_one_prompt_differ_by_their_seeds():
    assert len(set(seeds_of("a red square", 9))) == 9


def test_a_prompt_always_has_the_same_seeds():
    assert seeds_of("000123-0001", 3) == seeds_of("000123-0001", 3)
    assert seeds_of("000123-0001", 2) == seeds_of("000123-0001", 3)[:2]


def test_prompts_have_seeds_of_their_own():
    assert not set(seeds_of("a red square", 4)) & set(seeds_of("a blue square", 4))
