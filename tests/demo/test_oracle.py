"""The oracle: it sees what a picture shows, prefers by one taste, and notices a spoiled picture."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageFilter

from demo.world.captions import NotACaption, Noun, Statement, random_statement
from demo.world.oracle import ALIGNMENT, CLEANLINESS, TASTE, Verdict, examine, judge
from demo.world.scenes import BACKGROUND_RGB, PALETTE, Scene, Thing, caption, random_scene, render

GREY = (150, 150, 150)
CIRCLE = Statement((Noun("red", "circle"),))


def a_picture(*things, background=GREY):
    return render(Scene(CIRCLE, things, background))


def a_circle(colour="red", radius=13, x=32, y=32):
    return Thing(colour, "circle", radius, x, y)


@pytest.fixture(scope="module")
def rendered():
    generator = Random(5)
    scenes = [random_scene(generator) for _ in range(500)]
    return [(render(scene), caption(scene)) for scene in scenes]


@pytest.fixture(scope="module")
def verdicts(rendered):
    return [judge(image, text) for image, text in rendered]


def test_scenes_are_in_full_alignment_with_their_captions(verdicts):
    alignments = np.array([verdict.alignment for verdict in verdicts])
    assert (alignments > 0.999).mean() >= 0.99


def test_other_captions_give_a_low_floor(rendered):
    texts = [text for _, text in rendered[:201]]
    alignments = [judge(image, text).alignment for (image, _), text in zip(rendered, texts[1:], strict=False)]
    assert np.mean(alignments) < 0.35


def test_scenes_are_clean(verdicts):
    assert np.mean([verdict.cleanliness for verdict in verdicts]) > 0.9


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a red circle", a_picture(a_circle("blue"))),  # colour
        ("a red square", a_picture(a_circle())),  # shape
        ("two red circles", a_picture(a_circle())),  # count
        ("a red circle", a_picture(a_circle(radius=9, x=18), a_circle(radius=9, x=46))),
        ("a red circle on a white background", a_picture(a_circle(), background=BACKGROUND_RGB["black"])),
        (
            "a red circle right of a blue circle",
            a_picture(a_circle(radius=9, x=18), a_circle("blue", radius=9, x=46)),  # order
        ),
        (
            "a red circle above a blue circle",
            a_picture(a_circle(radius=9, x=18), a_circle("blue", radius=9, x=46)),  # axis
        ),
    ],
)
def test_one_wrong_attribute_costs_alignment(said, shown):
    assert 0.3 < judge(shown, said).alignment < 0.95


def test_the_colours_of_two_things_may_not_be_swapped():
    square = Thing("blue", "square", 9, 46, 32)
    said = "a red circle left of a blue square"
    swapped = a_picture(a_circle("blue", radius=9, x=18), replace(square, colour="red"))
    assert judge(a_picture(a_circle(radius=9, x=18), square), said).alignment == 1
    assert judge(swapped, said).alignment < 0.8


def test_nothing_on_the_picture_is_out_of_alignment():
    assert judge(a_picture(), "a red circle").alignment < 0.1


def test_a_blob_is_no_full_shape():
    image = a_picture(
        a_circle(radius=9, x=24, y=24), a_circle(radius=8, x=37, y=30), a_circle(radius=6, x=20, y=38)
    )
    verdict = judge(image, "a red circle")
    assert verdict.alignment < 0.9
    assert verdict.cleanliness < judge(a_picture(a_circle()), "a red circle").cleanliness


def test_taste_likes_large_things_in_the_middle_on_light_backgrounds():
    def taste(picture):
        return judge(picture, "a red circle").taste

    sizes = [taste(a_picture(a_circle(radius=radius))) for radius in (9, 13, 17)]
    assert sizes == sorted(sizes)
    places = [taste(a_picture(a_circle(radius=9, x=x))) for x in (16, 24, 32)]
    assert places == sorted(places)
    lights = [taste(a_picture(a_circle(), background=(light,) * 3)) for light in (30, 120, 240)]
    assert lights == sorted(lights)
    assert len({*sizes, *places, *lights}) == 8  # one picture is in two of the rows


def test_a_thing_that_no_caption_names_does_not_centre_a_picture():
    aside, another = a_circle(radius=9, x=16, y=16), a_circle(radius=7, x=48, y=48)
    alone, with_another = (
        judge(a_picture(*things), "a red circle") for things in ((aside,), (aside, another))
    )
    assert with_another.taste == pytest.approx(alone.taste, abs=0.01)
    assert with_another.alignment < alone.alignment


def test_taste_leaves_a_stated_background_alone():
    said = "a red circle on a black background"
    black, white = (
        judge(a_picture(a_circle(), background=BACKGROUND_RGB[name]), said) for name in ("black", "white")
    )
    assert black.taste == white.taste
    assert black.alignment > white.alignment


def noisy(image):
    pixels = np.asarray(image) + np.random.default_rng(0).normal(0, 10, (64, 64, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def with_grid(image):
    pixels = np.asarray(image).astype(int)
    pixels[::8] += 14
    pixels[:, ::8] += 14
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def with_specks(image):
    pixels = np.asarray(image).copy()
    pixels[5:60:9, 5:60:9] = PALETTE["green"]
    return Image.fromarray(pixels)


def blurred(image):
    return image.filter(ImageFilter.GaussianBlur(1.5))


@pytest.mark.parametrize("spoil", [noisy, with_grid, with_specks, blurred])
def test_a_spoiled_picture_is_less_clean(rendered, spoil):
    clean, spoiled = (
        np.mean([judge(change(image), text).cleanliness for image, text in rendered[:30]])
        for change in (lambda image: image, spoil)
    )
    assert spoiled < clean - 0.2


def test_alignment_weighs_most_in_the_score():
    assert TASTE + CLEANLINESS <= ALIGNMENT
    assert Verdict(1, 0, 0).score >= Verdict(0, 1, 1).score
    assert Verdict(1, 1, 1).score == pytest.approx(1)


def test_a_larger_picture_is_judged_at_the_worlds_size():
    image = a_picture(a_circle()).resize((256, 256), Image.Resampling.NEAREST)
    assert judge(image, "a red circle") == judge(a_picture(a_circle()), "a red circle")


def test_a_text_that_is_no_caption_cannot_be_judged():
    with pytest.raises(NotACaption):
        judge(a_picture(), "a sunset over the sea")


def test_any_pixels_get_a_verdict_between_nothing_and_all():
    generator = np.random.default_rng(0)
    statements = Random(0)
    for _ in range(20):
        image = Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        verdict = judge(image, str(random_statement(statements)))
        for part in (verdict.alignment, verdict.taste, verdict.cleanliness, verdict.score):
            assert 0 <= part <= 1


def test_it_says_which_words_of_a_caption_are_shown():
    pair = Statement((Noun("red", "square"), Noun("blue", "circle")), "left of", "white")
    things = (Thing("red", "square", 9, 48, 32), Thing("blue", "triangle", 9, 16, 32))
    examined = examine(a_picture(*things, background=BACKGROUND_RGB["white"]), str(pair))
    assert " ".join(word for word, _ in examined.words) == str(pair)
    assert {word for word, shown in examined.words if not shown} == {"left", "of", "circle"}
    assert examined.surplus == 0
    assert not examined.verdict.is_right


def test_it_counts_what_is_missing_and_what_nobody_asked_for():
    twins = examine(a_picture(a_circle()), "two red circles")
    assert (twins.surplus, dict(twins.words)["two"]) == (-1, False)
    alone = examine(a_picture(a_circle(radius=9, x=18), a_circle(radius=9, x=46)), "a red circle")
    assert (alone.surplus, all(shown for _, shown in alone.words)) == (1, True)


def test_of_a_scene_all_is_shown_and_no_flaw_is_seen(rendered):
    for image, text in rendered[:100]:
        examined = examine(image, text)
        if examined.verdict.alignment > 0.999:
            assert " ".join(word for word, _ in examined.words) == text
            assert all(shown for _, shown in examined.words)
            assert examined.verdict == judge(image, text)
            assert max(examined.severity.values()) < 1
