"""Which prompts tune a generator and which judge it."""

from annotation.services.assignments.assignments import claim_next, open_assignments
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept
from annotation.services.projects.prompts import NewImage, add_generations
from refl.selectors.prompts import held_out_prompts, prompts_without_images, tuning_prompts
from rewardmodel.services.splits import Shares, split_of
from tests.cast import NOW, answer_for, luck, picture
from tests.refl.conftest import SHARES


def illustrate(prompt):
    add_generations(prompt=prompt, images=[NewImage(picture(10 * n), f"{n}.png") for n in (1, 2, 3)])
    open_assignments(prompts=[prompt])


def rank(prompt, annotator, inspector):
    illustrate(prompt)
    held = claim_next(annotator=annotator, project=prompt.project, now=NOW, generator=luck())
    submit_judgement(
        assignment=held, annotator=annotator, judgement=answer_for(held), now=NOW, generator=luck()
    )
    held.refresh_from_db()
    accept(assignment=held, inspector=inspector, now=NOW)


def of_split(prompts, split):
    return [prompt for prompt in prompts if split_of(prompt.text, Shares(**SHARES)) == split]


def test_what_judges_a_generator_never_tunes_it(prompts, promoted):
    tuning, held_out = tuning_prompts(promoted), held_out_prompts(promoted)
    assert tuning
    assert held_out == [prompt.text for prompt in of_split(prompts, "test")]
    assert not set(tuning) & set(held_out)


def test_prompts_that_nobody_ranked_come_first(prompts, promoted, alice, rita):
    first, *others = of_split(prompts, "train")
    rank(first, alice, rita)
    assert tuning_prompts(promoted)[-1] == first.text
    assert set(tuning_prompts(promoted)) > {prompt.text for prompt in others}


def test_a_ranked_prompt_that_chose_the_reward_model_tunes_nothing(prompts, promoted, alice, rita):
    chose = of_split(prompts, "validation")[0]
    assert chose.text in tuning_prompts(promoted)
    rank(chose, alice, rita)
    assert chose.text not in tuning_prompts(promoted)


def test_the_same_text_is_tuned_on_once(prompts, promoted, project):
    before = tuning_prompts(promoted)
    project.prompts.create(key="again", text=before[0])
    assert tuning_prompts(promoted) == before


def test_a_reward_model_that_was_not_trained_here_splits_by_the_default(prompts, shipped):
    held_out = held_out_prompts(shipped)
    assert held_out
    assert all(split_of(text, Shares()) == "test" for text in held_out)


def test_a_prompt_with_images_does_not_wait_for_any(prompts, project):
    illustrate(prompts[0])
    assert list(prompts_without_images(project)) == prompts[1:]
