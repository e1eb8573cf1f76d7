"""The contact sheet: every picture is there, and what is wrong in it is marked."""

from random import Random

import numpy as np
import pytest
from PIL import Image

from demo.contact_sheet import GAP, MAGNIFIED, RIGHT, WRONG, contact_sheet
from demo.world.captions import Split, draw_captions, parse
from demo.world.scenes import SIDE, render, scene_of
from refl.models import Generator
from refl.services.generators import register_generator


def colours(image):
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def test_pictures_of_a_caption_are_neighbours_with_a_tick_or_a_cross_below():
    text = "a red circle"
    right, wrong = (render(scene_of(parse(each), Random(1))) for each in (text, "two blue squares"))
    sheet = contact_sheet([text] * 5, {"before": [wrong] * 5, "after": [right] * 5})
    side = SIDE * MAGNIFIED
    left, top = 26, 30
    before = sheet.crop((left, top, left + side, top + side))
    assert before.tobytes() == wrong.resize((side, side), Image.Resampling.NEAREST).tobytes()
    below = [
        colours(sheet.crop((start, top + side + GAP, start + side, top + side + 60)))
        for start in (left, left + side + GAP)
    ]
    assert WRONG in below[0]
    assert RIGHT not in below[0]
    assert RIGHT in below[1]
    assert WRONG not in below[1]


def test_a_picture_too_few_is_refused():
    picture = render(scene_of(parse("a red circle"), Random(0)))
    with pytest.raises(ValueError, match="each generator needs a picture of each of the 2 captions"):
        contact_sheet(["a red circle"] * 2, {"before": [picture] * 2, "after": [picture]})


@pytest.mark.django_db
def test_the_command_draws_held_out_captions_by_the_generators_named(project, tmp_path, capsys):
    from django.core.management import CommandError, call_command

    for name in ("one", "two"):
        register_generator(
            project=project, name=name, pipeline="demo/weights/generator", steps=1, guidance_scale=1
        )
    options = {"captions": 2, "seed": 3}
    file = tmp_path / "sheet.png"
    call_command("contact_sheet", project.slug, "--to", str(file), "--generators", "one", "two", **options)
    captions = draw_captions(Split.EVALUATION, 2, Random(3))
    assert Image.open(file).width > 4 * SIDE * MAGNIFIED
    assert f"{len(captions)} captions by one, two" in capsys.readouterr().out
    with pytest.raises(CommandError, match=r"no generator is named 'three' in .*; there are: two, one"):
        call_command("contact_sheet", project.slug, "--to", str(file), "--generators", "three")
    for captions in (0, -1, 10**6):
        with pytest.raises(CommandError, match="--captions"):
            call_command("contact_sheet", project.slug, "--to", str(file), captions=captions)
    with pytest.raises(CommandError, match="no such folder"):
        call_command("contact_sheet", project.slug, "--to", str(tmp_path / "none" / "sheet.png"))
    Generator.objects.all().delete()
    with pytest.raises(CommandError, match="no generator is kept"):
        call_command("contact_sheet", project.slug, "--to", str(file))
