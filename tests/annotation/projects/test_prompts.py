"""Prompts and the images made for them."""

import pytest

from annotation.models import Generation, Prompt
from annotation.services.assignments.priorities import record_scores
from annotation.services.imports import (
    ImportRefused,
    import_generations,
    import_prompts,
    import_rankings,
)
from annotation.services.projects.images import ImageRefused
from annotation.services.projects.prompts import (
    ImagesRefused,
    NewImage,
    PromptChanged,
    PromptTooLong,
    add_generations,
    add_prompts,
)
from tests.cast import NOW, picture


def images(*shades, source="{}.png"):
    return [NewImage(picture(shade), source.format(shade)) for shade in shades]


@pytest.fixture
def prompt(project):
    prompts, _ = add_prompts(project=project, texts={"p": "a fox"})
    return prompts["p"]


def test_adding_prompts_again_adds_the_new_ones(project, prompt):
    prompts, new = add_prompts(project=project, texts={"q": "an owl", "p": "a fox"})
    assert (list(prompts), prompts["p"], new) == (["q", "p"], prompt, 1)


def test_a_key_known_with_another_text_is_refused_and_nothing_is_added(project, prompt):
    with pytest.raises(PromptChanged, match="'p'"):
        add_prompts(project=project, texts={"q": "an owl", "p": "a cat"})
    assert Prompt.objects.count() == 1


def test_images_are_added_with_what_made_them(prompt):
    made = add_generations(
        prompt=prompt,
        images=[NewImage(picture(1), "1.png", "sd", 7, {"steps": 40}), NewImage(picture(2), "2.png")],
    )
    first = Generation.objects.get(pk=made[0].pk)
    assert (first.source, first.generator, first.seed, first.parameters) == ("1.png", "sd", 7, {"steps": 40})
    assert first.image.file.read() == picture(1)


def test_adding_the_same_images_again_adds_nothing(prompt):
    add_generations(prompt=prompt, images=images(1, 2))
    assert add_generations(prompt=prompt, images=images(2, 3))[0].source == "3.png"
    assert prompt.generations.count() == 3


@pytest.mark.parametrize(
    "wrong",
    [
        [NewImage(picture(9), "1.png")],  # a source known as another picture
        [NewImage(picture(1), "other.png")],  # a picture known by another source
        [NewImage(picture(8), "8.png"), NewImage(picture(8), "8b.png")],
        [NewImage(picture(8), "8.png"), NewImage(picture(7), "8.png")],
        images(*range(10, 20)),  # 11 of 10 places
    ],
)
def test_images_that_repeat_or_cannot_be_placed_are_refused(prompt, wrong):
    add_generations(prompt=prompt, images=images(1))
    with pytest.raises(ImagesRefused):
        add_generations(prompt=prompt, images=wrong)
    assert prompt.generations.count() == 1


def test_one_broken_image_refuses_them_all(prompt):
    with pytest.raises(ImageRefused):
        add_generations(prompt=prompt, images=[*images(1), NewImage(b"no picture", "2.png")])
    assert prompt.generations.count() == 0


def test_one_picture_may_belong_to_two_prompts_and_is_kept_once(project, prompt):
    other = add_prompts(project=project, texts={"q": "an owl"})[0]["q"]
    first, second = (add_generations(prompt=p, images=images(1))[0] for p in (prompt, other))
    assert first.image == second.image


def test_a_score_is_recorded_in_place_of_the_one_before(prompt):
    one, two = add_generations(prompt=prompt, images=images(1, 2))
    record_scores(scores={one.pk: 0.5, two.pk: -1.25}, scored_by="first")
    record_scores(scores={two.pk: 2.0}, scored_by="second")
    assert list(prompt.generations.values_list("score", "scored_by")) == [(0.5, "first"), (2.0, "second")]


def test_a_prompt_has_a_longest_length_wherever_it_comes_from(project, written):
    project.longest_prompt = 5
    project.save()
    add_prompts(project=project, texts={"a": "a fox"})
    with pytest.raises(
        PromptTooLong, match="prompt 'b' has 6 letters, and may have 5 by the project's settings"
    ):
        add_prompts(project=project, texts={"a": "a fox", "b": "an owl"})
    with pytest.raises(PromptTooLong):
        add_prompts(project=project, texts={"a": "a fox"}, translations={"a": "ein Fuchs"})
    row = {"id": "c", "prompt": "an owl"}
    ranking = {**row, "generations": ["a.png", "b.png"], "ranking": [1, 2]}
    image = {"prompt_id": "c", "prompt": "an owl", "images": []}
    files = [("p.txt", "an owl", import_prompts, "file"), ("p.jsonl", [row], import_prompts, "file")]
    files += [("m.jsonl", [image], import_generations, "manifest")]
    for name, content, imports, argument in files:
        with pytest.raises(ImportRefused, match=r"row 1: prompt .* has 6 letters, and may have 5"):
            imports(project=project, **{argument: written(name, content)})
    with pytest.raises(ImportRefused, match="row 1: prompt 'c' has 6 letters"):
        import_rankings(project=project, file=written("r.json", [ranking]), now=NOW, without_images=True)
    project.longest_prompt = 2
    project.save()
    assert add_prompts(project=project, texts={"a": "a fox"})[1] == 0  # what is there stays
