"""Which open tasks come first where the reward model chooses by a design."""

import pytest

from annotation.models import Assignment, Generation, Project
from annotation.services.assignments.assignments import open_assignments
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from rewardmodel.learning import load
from rewardmodel.selection.design import d_optimal, information_root, prior_precision
from rewardmodel.services import choices
from rewardmodel.services.scores import score_generations
from tests.cast import picture


def add_waiting(project):
    """Six prompts with three images each that nobody has ranked."""
    made, _ = add_prompts(project=project, texts={f"w{n}": f"red circle number w{n}" for n in range(6)})
    for number, prompt in enumerate(made.values()):
        images = [
            NewImage(picture(40 * number + 97 * i, size=(16, 16)), f"w{number}-{i}.png") for i in range(3)
        ]
        add_generations(prompt=prompt, images=images)
    open_assignments(prompts=list(made.values()))
    return list(made.values())


def order_of(project):
    tasks = Assignment.objects.ordinary().filter(project=project, state="open")
    return list(tasks.order_by("-priority", "pk").values_list("prompt", flat=True))


def root_of(model, prompt, media):
    files = [media / each.image.file.name for each in Generation.objects.filter(prompt=prompt).order_by("pk")]
    [seen] = model.embed_groups([prompt.text], [files])
    return seen.features, information_root(seen.features)


@pytest.mark.parametrize("most_asked", [3, 500])
def test_scoring_puts_open_tasks_in_the_order_of_the_design_after_what_was_answered(
    project, rank, encoder, settings, monkeypatch, most_asked
):
    """However many are open: open prompts take no place among those asked before."""
    monkeypatch.setattr(choices, "MOST_ASKED", most_asked)
    rank(3)
    answered = list(project.prompts.all())
    waiting = add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()
    score_generations(checkpoint=encoder)
    model = load(encoder.location)
    seen = {prompt.pk: root_of(model, prompt, settings.MEDIA_ROOT) for prompt in (*waiting, *answered)}
    expected = d_optimal(
        {prompt.pk: seen[prompt.pk][1] for prompt in waiting},
        6,
        asked=[seen[prompt.pk][1] for prompt in answered],
        precision=prior_precision([features for features, _ in seen.values()]),
    )
    assert order_of(project) == expected != sorted(expected)


@pytest.mark.parametrize(
    "changed", [{"task_order": "prompt"}, {"task_order": "unsure", "choice_rule": "random"}]
)
def test_in_projects_with_another_order_scoring_moves_nothing(project, encoder, changed):
    waiting = add_waiting(project)
    Project.objects.update(**changed)
    encoder.refresh_from_db()
    score_generations(checkpoint=encoder)
    assert order_of(project) == [prompt.pk for prompt in waiting]
    assert not Assignment.objects.filter(priority__gt=0).exists()


def test_scoring_that_is_stopped_leaves_the_order_as_it_is_until_it_goes_on(project, encoder):
    add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()
    looks = iter([False])
    score_generations(checkpoint=encoder, should_stop=lambda: next(looks, True))
    assert Generation.objects.filter(scored_by=encoder.name).count() == 18
    assert Assignment.objects.filter(priority__gt=0).count() == 0
    assert score_generations(checkpoint=encoder) == 0
    assert Assignment.objects.filter(priority__gt=0).count() == 6
