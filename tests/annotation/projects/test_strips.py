"""Strips of thumbnails: which images of a prompt lists show, and what of them stays hidden."""

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import Generation
from annotation.selectors.projects.images import STRIP, strips
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from tests.cast import answer_for, luck


def as_(person):
    client = Client()
    client.force_login(person)
    return client


def answered_by(annotator, project):
    now = timezone.now()
    task = claim_next(annotator=annotator, project=project, now=now, generator=luck())
    submit_judgement(
        assignment=task, annotator=annotator, judgement=answer_for(task), now=now, generator=luck()
    )
    return task


def test_a_strip_has_a_few_images_and_counts_the_rest(a_prompt, django_assert_num_queries):
    many, few, none = a_prompt(images=STRIP + 3), a_prompt(images=2), a_prompt(images=0, opened=False)
    with django_assert_num_queries(1):
        made = strips([many.pk, few.pk, none.pk])
    by_token = many.generations.order_by("image__token")[:STRIP]  # random, so no generator comes first
    assert [picture.generation for picture in made[many.pk].pictures] == [image.pk for image in by_token]
    assert made[many.pk].more == 3
    assert (len(made[few.pk].pictures), made[few.pk].more) == (2, 0)
    assert none.pk not in made


def test_images_without_a_file_are_not_counted(a_prompt):
    prompt = a_prompt(images=2)
    Generation.objects.create(prompt=prompt, source="lost.png")
    assert (len(strips([prompt.pk])[prompt.pk].pictures), strips([prompt.pk])[prompt.pk].more) == (2, 0)


def test_what_was_flagged_or_found_harmful_is_veiled(alice, project, a_prompt):
    prompt = a_prompt(images=3)
    answered_by(alice, project)
    first, second, third = prompt.generations.all()
    first.ratings.update(problems=["disturbing"])
    second.ratings.update(problems=["blurry"])
    Generation.objects.filter(pk=third.pk).update(is_flagged=True)
    harmful = {picture.generation: picture.is_harmful for picture in strips([prompt.pk])[prompt.pk].pictures}
    assert harmful == {first.pk: True, second.pk: False, third.pk: True}


@pytest.fixture
def listed(project, a_prompt):
    """A prompt of six images, with secrets that no thumbnail may tell."""
    prompt = a_prompt(images=6)
    prompt.generations.update(generator="secretive-v9", score=1.2345, scored_by="reward-7")
    first = prompt.generations.order_by("image__token").first()
    Generation.objects.filter(pk=first.pk).update(is_flagged=True)
    return prompt


def test_the_list_of_prompts_shows_a_strip_a_row(ada, project, listed):
    page = as_(ada).get(f"/projects/{project.slug}/prompts/").text
    images = list(listed.generations.order_by("image__token"))
    for number, image in enumerate(images, start=1):
        address = f'src="/images/{image.image.token}/small" alt="{listed.text}, image {number}"'
        assert (address in page) == (number <= STRIP)
    assert page.count('width="64" height="64" loading="lazy" decoding="async"') == STRIP
    assert page.count(f'<a href="/projects/{project.slug}/prompts/{listed.pk}/" tabindex="-1">') == STRIP
    assert '+2<span class="visually-hidden"> more images</span>' in page
    assert page.count("data-veil=") == page.count("data-unveil") == 1


def test_no_strip_names_generators_scores_or_files(ada, project, listed):
    page = as_(ada).get(f"/projects/{project.slug}/prompts/").text
    secrets = ["secretive-v9", "1.23", "reward-7"]
    for image in listed.generations.all():
        secrets += [image.source, image.image.sha256[:12], image.image.file.name]
    assert [secret for secret in secrets if secret in page] == []


def test_the_list_asks_no_more_for_more_prompts(ada, project, a_prompt, django_assert_max_num_queries):
    client = as_(ada)
    for _ in range(3):
        a_prompt(images=5)
    with django_assert_max_num_queries(9):
        assert client.get(f"/projects/{project.slug}/prompts/").text.count("/small") == 3 * STRIP


def test_answers_that_wait_show_their_images_to_inspectors_without_anything_else(
    rita, alice, project, listed
):
    task = answered_by(alice, project)
    page = as_(rita).get("/inspect/").text
    assert page.count(f'<a href="/inspect/{task.pk}/" tabindex="-1">') == STRIP
    assert "secretive-v9" not in page
    assert "1.23" not in page


def test_references_show_their_images_and_lead_admins_to_the_prompt(ada, rosa, project, a_gold):
    prompt = a_gold(project).prompt
    link = f'href="/projects/{project.slug}/prompts/{prompt.pk}/"'
    page = as_(ada).get(f"/projects/{project.slug}/references/").text
    assert page.count(link) == 1 + 3  # the text, and each image
    page = as_(rosa).get(f"/projects/{project.slug}/references/").text
    assert page.count(f'alt="{prompt.text}, image ') == 3
    assert link not in page


def test_ones_own_answers_show_small_versions(alice, project, listed):
    answered_by(alice, project)
    page = as_(alice).get(f"/work/{project.slug}/answers/").text
    assert page.count('/small" alt=""') == STRIP
