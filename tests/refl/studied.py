"""Studies with their images, and people who answer them."""

import random
from itertools import count

from django.utils.timezone import now

from annotation.models import Assignment, Generation
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.prompts import NewImage, add_generations
from refl.services.studies import ask_annotators
from refl.services.study_images import make_study_images
from rewardmodel.runs import states
from tests.cast import NOW, answer_for, luck, picture
from tests.refl.test_sampling import Impatient


def draw(study):
    """Let the run make the images, by the pipelines, and the reward model score them."""
    states.claim(study.run, now=now())
    make_study_images(study, Impatient(study.run, 999), rng=random.Random(1))
    states.finish(study.run, now=now())
    study.refresh_from_db()
    return study


def hand_in(study):
    """Give every task pictures of one colour, in place of a run, and ask annotators."""
    shades, names = count(1), [generator.name for generator in study.compared]
    for task in study.tasks.select_related("prompt__project"):
        images = [
            NewImage(picture(next(shades)), f"{names[at]}/1.png", names[at], task.seed) for at in task.places
        ]
        add_generations(prompt=task.prompt, images=images)
    states.claim(study.run, now=now())
    ask_annotators(study, now=now())
    states.finish(study.run, now=now())
    return study


def answer(study, annotator, preference, *, tasks=99):
    """Let somebody answer up to so many tasks. `preference`: the names of generators, the best first."""
    answered = []
    while len(answered) < tasks:
        task = claim_next(annotator=annotator, project=study.project, now=NOW, generator=luck())
        if task is None:
            break
        makers = dict(Generation.objects.filter(pk__in=task.order).values_list("pk", "generator"))
        slots = [1 + preference.index(makers[pk]) if preference else 1 for pk in sorted(task.order)]
        submit_judgement(
            assignment=task,
            annotator=annotator,
            judgement=answer_for(task, slots=slots),
            now=NOW,
            generator=luck(),
        )
        answered.append(task)
    Assignment.objects.filter(kind="study", state="submitted").update(state="accepted", accepted_at=NOW)
    return answered
