"""Studies whose images are there, answered by whoever is asked: without a generator at work."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from django.utils.timezone import now

from annotation.models import Assignment, Generation, Project, User
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.prompts import NewImage, add_generations
from refl.models import Generator, Study
from refl.selectors.prompts import texts_trained_on
from refl.services.generators import register_generator
from refl.services.studies import ask_annotators, open_study
from tests.cast import answer_for, luck, picture


def two_generators(project: Project, pipeline: Any, *more: str) -> list[Generator]:
    return [
        register_generator(project=project, name=name, pipeline=pipeline, steps=2, guidance_scale=1.0)
        for name in ("small", "tuned", *more)
    ]


def asked_study(project: Project, generators: Sequence[Generator], captions: int = 4, **asked: Any) -> Study:
    """Open a study of texts of its own and give each task an image of each of its generators."""
    texts = [f"caption {number}, a <red> fox" for number in range(4 * captions)]
    trained = set(texts_trained_on(project, texts))
    held_out = [text for text in texts if text not in trained][:captions]
    study = open_study(project=project, generators=generators, texts=held_out, rng=random.Random(5), **asked)
    for number, task in enumerate(study.tasks.select_related("prompt")):
        images = [
            NewImage(
                picture(1000 * place + number, size=(24, 16)),
                f"{number}-{place}.png",
                generator=generators[place].name,
                seed=task.seed,
            )
            for place in task.places
        ]
        add_generations(prompt=task.prompt, images=images)
    type(study.run).objects.filter(pk=study.run.pk).update(state="finished", finished_at=now())
    ask_annotators(study, now=now())
    study.refresh_from_db()
    return study


def answer_study(study: Study, annotator: User, preference: Sequence[Generator], *, tasks: int = 99) -> int:
    """Answer up to so many tasks, always in this order of generators; return how many there were."""
    order = [generator.name for generator in preference]
    for done in range(tasks):
        task = claim_next(annotator=annotator, project=study.project, now=now(), generator=luck())
        if task is None:
            return done
        makers = dict(Generation.objects.filter(pk__in=task.order).values_list("pk", "generator"))
        slots = [1 + order.index(makers[pk]) if order else 1 for pk in sorted(task.order)]
        submit_judgement(
            assignment=task,
            annotator=annotator,
            judgement=answer_for(task, slots=slots),
            now=now(),
            generator=luck(),
        )
        Assignment.objects.filter(pk=task.pk).update(state="accepted", accepted_at=now())  # as inspected
    return tasks
