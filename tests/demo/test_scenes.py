"""The small world's captions and scenes: what can be said, what is drawn, what is kept for which use."""

from random import Random

import numpy as np
import pytest

from demo.world.captions import (
    KINDS,
    WORD_IS_WRONG,
    Kind,
    NotACaption,
    Noun,
    Split,
    Statement,
    draw_captions,
    every_statement,
    misstate,
    parse,
    random_caption,
    random_statement,
    split_of,
)
from demo.world.scenes import (
    ALONE_RADII,
    BACKGROUND_RGB,
    GAP,
    MARGIN,
    PAIR_RADII,
    SIDE,
    caption,
    random_scene,
    render,
    scene_of,
)

RED_CIRCLE, ORANGE_SQUARE = Noun("red", "circle"), Noun("orange", "square")


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Statement((RED_CIRCLE,)), "a red circle"),
        (Statement((ORANGE_SQUARE,), None, "white"), "an orange square on a white background"),
        (Statement((Noun("blue", "cross"),) * 2), "two blue crosses"),
        (
            Statement((RED_CIRCLE, ORANGE_SQUARE), "left of", "black"),
            "a red circle left of an orange square on a black background",
        ),
    ],
)
def test_a_caption_says_what_is_stated_and_is_read_back(statement, text):
    assert str(statement) == text
    assert parse(text) == statement


@pytest.mark.parametrize(
    "text", ["", "a red dog", "an red circle", "two red circle", "a red circle left of a red circle"]
)
def test_a_text_that_is_no_caption_is_refused(text):
    with pytest.raises(NotACaption):
        parse(text)


def test_no_two_statements_share_a_caption():
    captions = [str(statement) for statement in every_statement()]
    assert len(set(captions)) == len(captions) == 9024


def test_the_same_seed_draws_the_same_scene():
    one, other, another = (random_scene(Random(seed)) for seed in (3, 3, 4))
    assert one == other != another
    assert render(one).tobytes() == render(other).tobytes()


def test_kinds_come_in_their_proportions():
    generator = Random(0)
    kinds = [random_statement(generator).kind for _ in range(4000)]
    for kind in Kind:
        assert kinds.count(kind) / 4000 == pytest.approx(KINDS[kind], abs=0.03)


def test_things_keep_clear_of_the_border_and_of_each_other():
    generator = Random(0)
    for _ in range(400):
        things = random_scene(generator).things
        for thing in things:
            for place, axis in ((thing.x, 0), (thing.y, 1)):
                assert place - thing.reach(axis) >= MARGIN
                assert place + thing.reach(axis) <= SIDE - MARGIN
        if len(things) == 2:
            one, other = things
            gaps = [
                abs(one.x - other.x) - one.reach(0) - other.reach(0),
                abs(one.y - other.y) - one.reach(1) - other.reach(1),
            ]
            assert max(gaps) >= GAP


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        ("left of", lambda one, other: one.x < other.x),
        ("right of", lambda one, other: one.x > other.x),
        ("above", lambda one, other: one.y < other.y),
        ("below", lambda one, other: one.y > other.y),
    ],
)
def test_a_stated_relation_holds(relation, holds):
    statement = Statement((RED_CIRCLE, ORANGE_SQUARE), relation)
    generator = Random(0)
    for _ in range(30):
        one, other = scene_of(statement, generator).things
        assert (one.colour, other.colour) == ("red", "orange")
        assert holds(one, other)


def test_what_a_caption_leaves_open_varies_widely():
    generator = Random(0)
    scenes = [scene_of(Statement((RED_CIRCLE,)), generator) for _ in range(200)]
    assert {scene.things[0].radius for scene in scenes} == set(ALONE_RADII)
    assert np.std([scene.things[0].x for scene in scenes]) > 8
    lightness = [sum(scene.background) / 3 for scene in scenes]
    assert min(lightness) < 40
    assert max(lightness) > 215
    pairs = [scene_of(Statement((RED_CIRCLE, ORANGE_SQUARE), "above"), generator) for _ in range(60)]
    assert {scene.things[0].radius for scene in pairs} == set(PAIR_RADII)


def test_a_picture_shows_the_stated_background_and_thing():
    scene = scene_of(Statement((RED_CIRCLE,), None, "black"), Random(0))
    pixels = np.asarray(render(scene))
    assert pixels.shape == (64, 64, 3)
    assert tuple(pixels[0, 0]) == BACKGROUND_RGB["black"]
    (thing,) = scene.things
    assert tuple(pixels[round(thing.y), round(thing.x)]) == (220, 40, 40)
    assert caption(scene) == "a red circle on a black background"


def test_misstating_changes_each_attribute_about_as_often_as_asked():
    generator = Random(0)
    truth = Statement((RED_CIRCLE, ORANGE_SQUARE), "left of", "white")
    told = [misstate(truth, generator) for _ in range(3000)]
    rates = [
        np.mean([statement.nouns[0].colour != "red" for statement in told]),
        np.mean([statement.nouns[1].shape != "square" for statement in told]),
        np.mean([statement.relation != "left of" for statement in told]),
        np.mean([statement.background != "white" for statement in told]),
    ]
    assert rates == pytest.approx([WORD_IS_WRONG] * 4, abs=0.04)
    assert all(parse(str(statement)) == statement for statement in told)


def test_misstating_changes_counts_but_states_no_background_that_was_open():
    generator = Random(0)
    told = [misstate(Statement((RED_CIRCLE,)), generator) for _ in range(500)]
    assert {statement.kind for statement in told} == {Kind.ALONE, Kind.TWINS}
    assert {statement.background for statement in told} == {None}
    assert misstate(Statement((RED_CIRCLE,)), generator, wrong=0) == Statement((RED_CIRCLE,))


def test_every_caption_has_one_use_and_every_use_has_captions_enough():
    splits = [split_of(str(statement)) for statement in every_statement()]
    assert splits.count(Split.RANKING) >= 2000
    assert splits.count(Split.TUNING) >= 1000
    assert splits.count(Split.EVALUATION) >= 1000
    assert split_of("a red circle") is split_of("a red circle")


def test_captions_drawn_are_different_and_of_their_split():
    drawn = draw_captions(Split.EVALUATION, 256, Random(0))
    assert len(set(drawn)) == 256
    assert {split_of(text) for text in drawn} == {Split.EVALUATION}
    assert {parse(text).kind for text in drawn} == set(Kind)
    assert (
        drawn
        == draw_captions(Split.EVALUATION, 256, Random(0))
        != draw_captions(Split.EVALUATION, 256, Random(1))
    )
    assert split_of(random_caption(Split.TUNING, Random(0))) is Split.TUNING


def test_more_captions_than_a_split_has_are_refused():
    with pytest.raises(ValueError, match="has no 5000 captions"):
        draw_captions(Split.EVALUATION, 5000, Random(0))
