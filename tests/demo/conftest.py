import io
import random

import pytest

from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from demo.people import Person
from demo.world.annotators import Annotator
from demo.world.captions import Split, draw_captions, parse
from demo.world.scenes import render, scene_of
from tests.cast import *  # noqa: F403


@pytest.fixture
def drawn_work(project):
    """Open work on `count` captions, four rendered scenes each, of which two show something else."""

    def draw(count):
        luck = random.Random(0)
        captions = draw_captions(Split.RANKING, count, luck)
        others = draw_captions(Split.GENERATOR, count, luck)
        texts = {f"caption-{number}": caption for number, caption in enumerate(captions)}
        prompts, _ = add_prompts(project=project, texts=texts)
        for prompt, other in zip(prompts.values(), others, strict=True):
            pictures = [*_distinct(prompt.text, luck), *_distinct(other, luck)]
            images = [NewImage(picture, source=f"{n}.png") for n, picture in enumerate(pictures)]
            add_generations(prompt=prompt, images=images)
        return open_assignments(prompts=prompts.values())

    return draw


@pytest.fixture
def people(alice, bob):
    """alice and bob as simulated annotators who know their passwords."""
    for user in (alice, bob):
        user.set_password("open sesame")
        user.save()
    return [
        Person(user.username, "open sesame", Annotator.drawn(seed)) for seed, user in enumerate((alice, bob))
    ]


def _distinct(caption, luck):
    """Two pictures of a caption that are not the same."""
    pictures = {}
    while len(pictures) < 2:
        pictures[_png(render(scene_of(parse(caption), luck)))] = None
    return pictures


def _png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
