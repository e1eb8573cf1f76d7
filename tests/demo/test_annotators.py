"""Simulated annotators: they mostly agree with the oracle, never wholly, and answer as the form wants it."""

from collections import Counter
from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from PIL import ImageFilter

from demo.world.annotators import PER_SLOT, SLOTS, Annotator
from demo.world.captions import NotACaption, Noun, Statement
from demo.world.oracle import Flaw, Verdict, judge
from demo.world.scenes import BACKGROUND_RGB, Scene, Thing, caption, random_scene, render, scene_of


def pictures_of_one_prompt(count, seed):
    """One true picture and others of other scenes, so that they differ in every part."""
    generator = Random(seed)
    scene = random_scene(generator)
    same = [render(scene_of(scene.statement, generator)) for _ in range((count + 1) // 2)]
    others = [render(random_scene(generator)) for _ in range(count - len(same))]
    return same + others, caption(scene)


@pytest.mark.parametrize("count", range(1, SLOTS * PER_SLOT + 1))
def test_every_image_finds_a_slot_and_none_holds_more_than_two(count):
    for seed in range(5):
        images, text = pictures_of_one_prompt(count, seed)
        slots = Annotator.drawn(seed).rank(images, text, Random(seed))
        assert set(slots) == set(range(1, max(slots) + 1))
        assert max(slots) <= SLOTS
        assert max(Counter(slots).values()) <= PER_SLOT


def test_more_images_than_slots_hold_are_refused():
    images, text = pictures_of_one_prompt(11, 0)
    with pytest.raises(ValueError, match="11 images do not fit"):
        Annotator().rank(images, text, Random(0))


def test_a_text_that_is_no_caption_is_not_judged():
    images, _ = pictures_of_one_prompt(4, 0)
    with pytest.raises(NotACaption):
        Annotator().judge(images, "a sunset over the sea", Random(0))


def test_a_better_slot_never_goes_with_a_worse_mark():
    for seed in range(20):
        images, text = pictures_of_one_prompt(8, seed)
        opinion = Annotator.drawn(seed).judge(images, text, Random(seed))
        marks = [rating.overall for rating in opinion.ratings]
        for (slot, mark), (other_slot, other_mark) in combinations(zip(opinion.slots, marks, strict=True), 2):
            if slot < other_slot:
                assert mark >= other_mark
        for rating in opinion.ratings:
            assert all(1 <= mark <= 7 for mark in (rating.overall, rating.alignment, rating.fidelity))


def test_ranking_and_rating_in_the_same_state_are_one_opinion():
    images, text = pictures_of_one_prompt(5, 0)
    annotator = Annotator.drawn(1)
    opinion = annotator.judge(images, text, Random(7))
    assert annotator.rank(images, text, Random(7)) == opinion.slots
    assert annotator.rate(images, text, Random(7)) == opinion.ratings


def test_an_annotator_without_noise_follows_the_oracle():
    for seed in range(10):
        images, text = pictures_of_one_prompt(4, seed)
        slots = Annotator(noise=0).rank(images, text, Random(0))
        scores = [judge(image, text).score for image in images]
        for one, other in combinations(range(4), 2):
            if slots[one] < slots[other]:
                assert scores[one] > scores[other]


def test_images_that_look_alike_share_a_slot():
    images, text = pictures_of_one_prompt(2, 0)
    alike = [images[0], images[0], images[1]]
    assert Annotator(noise=0).rank(alike, text, Random(0)) == (1, 1, 2)


def test_noise_makes_annotators_differ_and_each_weighs_the_parts_alike_every_day():
    images, text = pictures_of_one_prompt(6, 3)
    opinions = {Annotator.drawn(seed).rank(images, text, Random(seed)) for seed in range(12)}
    assert len(opinions) > 1
    assert Annotator.drawn(4) == Annotator.drawn(4) != Annotator.drawn(5)


@pytest.fixture(scope="module")
def clean():
    """A rendered scene with two things, and its caption."""
    scene = Scene(
        Statement((Noun("red", "square"), Noun("blue", "circle")), "left of", "white"),
        (Thing("red", "square", 9, 16, 32), Thing("blue", "circle", 9, 48, 32)),
        BACKGROUND_RGB["white"],
    )
    return scene, caption(scene)


def noticed(image, text, annotator=None):
    return (annotator or Annotator(noise=0)).rate([image], text, Random(0))[0].flaws


def test_a_clean_picture_has_no_flaws(clean):
    scene, text = clean
    assert noticed(render(scene), text) == ()
    flaws = [noticed(render(scene), text, Annotator.drawn(seed)) for seed in range(20)]
    assert flaws.count(()) >= 18


def test_each_flaw_is_noticed_for_what_it_is(clean):
    scene, text = clean
    image = render(scene)
    assert noticed(image.filter(ImageFilter.GaussianBlur(1)), text) == (Flaw.BLURRED,)
    lines = image.copy()
    for place in (*range(0, 20, 4), *range(44, 64, 4)):
        lines.paste((230, 230, 230), (0, place, 64, place + 1))
    assert noticed(lines, text) == (Flaw.REPEATED,)
    third = render(replace(scene, things=(*scene.things, Thing("green", "cross", 7, 32, 52))))
    assert noticed(third, text) == (Flaw.REPEATED,)
    assert noticed(render(replace(scene, things=scene.things[:1])), text) == (Flaw.BROKEN,)
    eaten = image.copy()
    eaten.paste((250, 250, 250), (8, 24, 16, 32))
    assert noticed(eaten, text) == (Flaw.BROKEN,)


def test_fidelity_is_seen_more_surely_than_alignment(clean):
    scene, text = clean
    images = [render(scene).filter(ImageFilter.GaussianBlur(radius / 10)) for radius in range(4, 12)]
    exact = [1 + 6 * judge(image, text).cleanliness for image in images]
    off = [
        abs(rating.fidelity - mark)
        for seed in range(20)
        for rating, mark in zip(Annotator.drawn(seed).rate(images, text, Random(seed)), exact, strict=True)
    ]
    assert sum(off) / len(off) < 0.45  # of marks 1 to 7; rounding alone is off by 0.25


def test_of_two_pictures_the_better_is_mostly_preferred_and_equal_ones_are_not_decided():
    good, bad = Verdict(0.9, 0.5, 0.9), Verdict(0.6, 0.5, 0.9)
    answers = [Annotator.drawn(seed).prefers_second(bad, good, Random(seed)) for seed in range(50)]
    assert answers.count(True) > 40
    assert Annotator(noise=0).prefers_second(good, bad, Random(0)) is False
    assert Annotator(noise=0).prefers_second(good, good, Random(0)) is None
