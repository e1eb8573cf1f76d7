"""Projects with finished rankings to export, and a look at what an import made of them."""

from collections import defaultdict
from datetime import timedelta

from annotation.models import Assignment, Generation
from annotation.services.assignments.assignments import claim_next, open_assignments
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from tests.cast import NOW, answer_for, luck, picture

# What tears tables and turns into formulas.
TEXTS = {"1": '=HYPERLINK("http://x", "ein Fuchs, zäh")', "a,b": "two\nlines, 'quoted'", "=3": "'an owl 🦉"}
TOOK = timedelta(seconds=12.5)  # each answer


def judge(project, annotators, slots=((1, 3, 3), (4, 1, 2)), texts=TEXTS, problems=("body", "blurry")):
    """Each of the annotators ranks every prompt, the first as `slots[0]`, and so on; all is accepted."""
    prompts, _ = add_prompts(project=project, texts=texts)
    for number, prompt in enumerate(prompts.values()):
        images = [
            NewImage(picture(10 * number + i), f"{name}.png", f"model {i % 2}")
            for i, name in enumerate(("1", "=2", "a/3"))
        ]
        add_generations(prompt=prompt, images=images)
    open_assignments(prompts=prompts.values())
    for annotator, placed in zip(annotators, slots, strict=True):
        add_member(project=project, user=annotator, role="annotator")
        while held := claim_next(annotator=annotator, project=project, now=NOW - TOOK, generator=luck()):
            judgement = answer_for(held, slots=placed, problems=problems)
            submit_judgement(
                assignment=held, annotator=annotator, judgement=judgement, now=NOW, generator=luck()
            )
    return project


def said(project):
    """What each annotator said, whoever they are: [{(prompt id, prompt): {source: slot}}], sorted."""
    people = defaultdict(dict)
    for answer in Assignment.objects.finished().filter(project=project).select_related("prompt"):
        placed = answer.ranking.placements.values_list("generation__source", "slot")
        people[answer.annotator_id][answer.prompt.key, answer.prompt.text] = dict(placed)
    return sorted(people.values(), key=lambda one: sorted((key, sorted(s.items())) for key, s in one.items()))


def displayed(project):
    """The order in which images were shown, the seconds taken and the acceptable slots, by prompt."""
    answers = Assignment.objects.finished().filter(project=project).select_related("prompt", "ranking")
    sources = dict(Generation.objects.filter(prompt__project=project).values_list("pk", "source"))
    assert all(answer.is_order_shown for answer in answers)
    return sorted(
        (
            answer.prompt.key,
            [sources[pk] for pk in answer.order],
            answer.seconds,
            answer.ranking.acceptable_slots,
        )
        for answer in answers
    )


def rated(project):
    """Everything said beside the slots, by prompt and slots."""
    return sorted(
        (
            answer.prompt.key,
            sorted(answer.ranking.placements.values_list("generation__source", "slot")),
            (answer.label.category, answer.label.intent_unclear, answer.label.issues),
            sorted(
                (rating.generation.source, sorted(rating.points.items()), rating.problems)
                for rating in answer.ratings.select_related("generation")
            ),
        )
        for answer in Assignment.objects.finished().filter(project=project).select_related("prompt", "label")
    )


def pictures(project):
    """Prompt id, source -> hash of the file."""
    rows = project.prompts.values_list("key", "generations__source", "generations__image_id")
    return {(key, source): sha256 for key, source, sha256 in rows}


def generators(project):
    rows = project.prompts.values_list("key", "generations__source", "generations__generator")
    return {(key, source): generator for key, source, generator in rows}
