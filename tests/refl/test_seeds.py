"""Seeds of a prompt's images."""

import subprocess
import sys

from refl.seeds import seeds_of


def test_images_of_one_prompt_differ_by_their_seeds():
    assert len(set(seeds_of("a red square", 9))) == 9


def test_a_prompt_always_has_the_same_seeds():
    assert seeds_of("000123-0001", 3) == seeds_of("000123-0001", 3)
    assert seeds_of("000123-0001", 2) == seeds_of("000123-0001", 3)[:2]


def test_prompts_have_seeds_of_their_own():
    assert not set(seeds_of("a red square", 4)) & set(seeds_of("a blue square", 4))


def test_seeds_are_at_hand_without_django():
    """Benchmarks draw pictures without setting Django up."""
    code = "import sys, refl.seeds; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
