"""A blind study answered over HTTP by simulated annotators, who cannot tell it from other work."""

import io
import random

import pytest
from django.utils.timezone import now

from annotation.models import Assignment
from annotation.services.projects.prompts import NewImage, add_generations
from demo.simulation import simulate
from demo.world.captions import Split, draw_captions, parse
from demo.world.scenes import render, scene_of
from refl.models import Generator
from refl.selectors.prompts import texts_trained_on
from refl.selectors.studies import study_report
from refl.services.studies import ask_annotators, open_study
from refl.services.study_tending import tend_studies

pytestmark = pytest.mark.django_db(transaction=True)
CAPTIONS = 14


def png(caption, luck):
    file = io.BytesIO()
    render(scene_of(parse(caption), luck)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def study(project):
    """The images of "right" show their captions, those of "wrong" something else."""
    project.review_share = 0.0
    project.save()
    luck = random.Random(2)
    wrong, right = (
        Generator.objects.create(project=project, name=name, pipeline="none", kept=True, reason="Here.")
        for name in ("wrong", "right")
    )
    drawn = draw_captions(Split.EVALUATION, 200, luck)
    trained = set(texts_trained_on(project, drawn))
    texts = [text for text in drawn if text not in trained][:CAPTIONS]
    others = iter(draw_captions(Split.GENERATOR, CAPTIONS, luck))
    opened = open_study(project=project, generators=[wrong, right], texts=texts, rng=luck)
    for task in opened.tasks.select_related("prompt__project"):
        images = [
            NewImage(png(next(others), luck), "wrong/1.png", "wrong"),
            NewImage(png(task.prompt.text, luck), "right/1.png", "right"),
        ]
        luck.shuffle(images)
        add_generations(prompt=task.prompt, images=images)
    ask_annotators(opened, now=now())
    return opened


def test_simulated_annotators_find_the_better_generator_and_the_study_closes_by_itself(
    study, people, live_server, project
):
    done = simulate(
        url=live_server.url,
        project=project.slug,
        people=people,
        tasks=CAPTIONS,
        seed=0,
        on_task=lambda: None,
    )
    assert done == CAPTIONS
    assert Assignment.objects.filter(kind="study", state="accepted").count() == CAPTIONS
    tend_studies(now=now())
    study.refresh_from_db()
    [rate] = study_report(study).rates
    assert rate.result.value > 0.8
    assert (study.state, rate.verdict) == ("closed", "better")
