"""What a choice among prompts is made of."""

from annotation.models import Generation
from annotation.selectors.projects.choices import ScoredPrompt, asked_prompts, open_prompts, scored_prompts
from annotation.services.assignments.assignments import claim_next
from tests.cast import NOW, luck


def test_only_prompts_whose_images_were_all_scored_by_the_model_are_compared(a_prompt):
    whole, partly, single, by_another = a_prompt(2), a_prompt(2), a_prompt(1), a_prompt(2)
    Generation.objects.exclude(prompt=by_another).update(score=0.0, scored_by="round 1")
    Generation.objects.filter(prompt=by_another).update(score=0.0, scored_by="round 0")
    last = partly.generations.order_by("pk").last()
    Generation.objects.filter(pk=last.pk).update(scored_by="")
    prompts = [by_another.pk, single.pk, partly.pk, whole.pk]
    files = tuple(each.image.file.name for each in whole.generations.order_by("pk"))
    assert scored_prompts(prompts, scored_by="round 1") == {whole.pk: ScoredPrompt(whole.text, files)}


def test_prompts_are_asked_about_from_their_first_task_on_and_the_newest_come_first(
    a_project, a_prompt, alice
):
    project = a_project()
    first, second = a_prompt(2, project=project), a_prompt(2, project=project)
    a_prompt(2, project=project, opened=False)
    a_prompt(2)  # another project's
    assert claim_next(annotator=alice, project=project, now=NOW, generator=luck()).prompt == first
    assert open_prompts(project) == [second.pk]
    assert asked_prompts(project, most=9) == [second.pk, first.pk]
    assert asked_prompts(project, most=1) == [second.pk]
    assert asked_prompts(project, most=1, without=[second.pk]) == [first.pk]
