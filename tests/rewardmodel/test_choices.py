"""Which open tasks come first where the reward model chooses by a design."""

import pytest
from django.utils.timezone import now

from annotation.models import Assignment, Generation, Project
from annotation.services.assignments.assignments import open_assignments
from annotation.services.assignments.priorities import order_open_tasks
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from rewardmodel.learning import load
from rewardmodel.models import RewardCheckpoint
from rewardmodel.selection.design import (
    d_optimal,
    information_gain,
    information_root,
    prior_precision,
    weight_covariance,
)
from rewardmodel.services import choices
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.scores import score_generations
from tests.cast import picture


def add_waiting(project, *, first=0, prompts=6):
    """Prompts with three images each that nobody has ranked."""
    texts = {f"w{n}": f"red circle number w{n}" for n in range(first, first + prompts)}
    made, _ = add_prompts(project=project, texts=texts)
    for number, prompt in enumerate(made.values(), first):
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


@pytest.mark.parametrize(("most_asked", "designed", "pool"), [(3, 1000, 4000), (500, 1000, 4000), (3, 2, 4)])
def test_scoring_puts_open_tasks_in_the_order_of_the_design_after_what_was_answered(
    project, rank, encoder, settings, monkeypatch, most_asked, designed, pool
):
    """However many are open: open prompts take no place among those asked before, and in a large project the
    first are chosen together among those that gain most, and the others come by what each gains."""
    monkeypatch.setattr(choices, "MOST_ASKED", most_asked)
    monkeypatch.setattr(choices, "DESIGNED", designed)
    monkeypatch.setattr(choices, "POOL", pool)
    rank(3)
    answered = list(project.prompts.all())
    waiting = add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()
    score_generations(checkpoint=encoder)
    model = load(encoder.location)
    seen = {prompt.pk: root_of(model, prompt, settings.MEDIA_ROOT) for prompt in (*waiting, *answered)}
    asked = [seen[prompt.pk][1] for prompt in answered]
    first = [*waiting[:designed], *answered]
    precision = prior_precision([seen[prompt.pk][0] for prompt in first])
    covariance = weight_covariance(asked, width=asked[0].shape[1], precision=precision)
    gains = {prompt.pk: information_gain(seen[prompt.pk][1], covariance) for prompt in waiting}
    by_gain = sorted(gains, key=lambda pk: -gains[pk])
    together = d_optimal(
        {pk: seen[pk][1] for pk in by_gain[:pool]}, designed, asked=asked, precision=precision
    )
    expected = together + [pk for pk in by_gain if pk not in together]
    assert order_of(project) == expected != sorted(expected)


def test_the_order_is_made_anew_where_something_was_opened_since_or_another_model_promoted(project, encoder):
    waiting = add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()
    promote(encoder, now=now())
    score_generations(checkpoint=encoder)
    order = order_of(project)
    by_hand = [order[-1], *order[:-1]]

    def reorder_and_score():
        order_open_tasks(project=project, prompts=by_hand)
        score_generations(checkpoint=RewardCheckpoint.objects.get(pk=encoder.pk))
        return order_of(project)

    assert reorder_and_score() == by_hand  # nothing was: it is as it was left
    promote(encoder, now=now())
    assert reorder_and_score() == order
    order_open_tasks(project=project, prompts=by_hand)
    Assignment.objects.filter(prompt=waiting[0]).delete()
    open_assignments(prompts=[waiting[0]])
    score_generations(checkpoint=RewardCheckpoint.objects.get(pk=encoder.pk))
    assert order_of(project) == order


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
    assert score_generations(checkpoint=encoder).images == 0
    assert Assignment.objects.filter(priority__gt=0).count() == 6


def test_what_is_opened_while_an_order_is_made_has_a_place_in_the_next(project, rank, encoder):
    rank(2)
    add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()

    def open_once_scored():
        if Generation.objects.filter(scored_by=encoder.name).exists():
            Project.objects.update(opinions_per_prompt=2)
            open_assignments(prompts=project.prompts.all())
        return False

    score_generations(checkpoint=encoder, should_stop=open_once_scored)
    tasks = Assignment.objects.filter(state="open")
    assert tasks.filter(priority__gt=0).count() == 12  # two opinions on each that was open
    assert tasks.filter(priority=0).count() == 2
    assert score_generations(checkpoint=RewardCheckpoint.objects.get(pk=encoder.pk)).images == 0
    assert tasks.filter(priority__gt=0).count() == 14


def test_an_order_that_was_not_made_because_the_worker_was_killed_is_made_by_the_next(project, encoder):
    add_waiting(project)
    Project.objects.update(task_order="unsure")
    encoder.refresh_from_db()
    late = []

    def import_at_once():  # too late to be scored, though before the order is made
        if not late:
            late.extend(add_waiting(project, first=6, prompts=1))
        return False

    def die_once_scored():
        if Generation.objects.filter(prompt=late[0], scored_by=encoder.name).exists():
            raise KeyboardInterrupt
        return False

    score_generations(checkpoint=encoder, should_stop=import_at_once)
    assert order_of(project)[-1] == late[0].pk
    with pytest.raises(KeyboardInterrupt):
        score_generations(checkpoint=encoder, should_stop=die_once_scored)
    assert score_generations(checkpoint=RewardCheckpoint.objects.get(pk=encoder.pk)).images == 0
    assert Assignment.objects.filter(priority__gt=0).count() == 7
