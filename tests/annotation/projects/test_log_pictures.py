"""The log shows the images that an entry speaks of, and leads to their prompt."""

import json

import pytest

from annotation.models import Action, Prompt
from annotation.models.actions import NAMED_PROMPTS
from annotation.services.actions import record_action
from annotation.services.assignments.assignments import claim_next, open_assignments
from annotation.services.checks.references import retire_reference
from annotation.services.imports import import_generations, import_rankings
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept, send_back
from annotation.services.projects.prompts import NewImage, add_generations, add_prompts
from tests.annotation.imports.rows import manifest_row, ranking_row
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck, picture

Kind = Action.Kind


def logged(kind):
    return Action.objects.filter(kind=kind).first().prompt_ids


def answered_by(annotator, project):
    task = claim_next(annotator=annotator, project=project, now=NOW, generator=luck())
    submit_judgement(
        assignment=task, annotator=annotator, judgement=answer_for(task), now=NOW, generator=luck()
    )
    return task


def test_reviews_and_references_name_their_prompt(project, alice, bob, rita, ada, a_prompt, a_gold):
    first, second = a_prompt(), a_prompt()
    accept(assignment=answered_by(alice, project), inspector=rita, now=NOW)
    send_back(assignment=answered_by(bob, project), inspector=rita, reason="Hasty.", now=NOW)
    assert (logged(Kind.ACCEPTED), logged(Kind.SENT_BACK)) == ([first.pk], [second.pk])
    reference = a_gold(project)
    retire_reference(reference=reference, by=ada, now=NOW)
    assert logged(Kind.REFERENCE_CHOSEN) == logged(Kind.REFERENCE_RETIRED) == [reference.prompt_id]


def test_what_adds_material_names_the_first_few_of_its_prompts(project, ada, tmp_path):
    prompts, _ = add_prompts(project=project, texts={f"k{n}": f"a fox, take {n}" for n in range(9)}, by=ada)
    ids = [prompt.pk for prompt in prompts.values()]
    assert logged(Kind.PROMPTS_ADDED) == ids[:NAMED_PROMPTS]
    for number, prompt in enumerate(list(prompts.values())[:6]):
        images = [NewImage(picture(10 * number + k), f"{number}-{k}.png", "sd") for k in range(2)]
        add_generations(prompt=prompt, images=images, by=ada)
        assert logged(Kind.IMAGES_ADDED) == [prompt.pk]
    open_assignments(prompts=prompts.values(), by=ada)
    assert logged(Kind.WORK_OPENED) == ids[:NAMED_PROMPTS]


def test_imports_name_the_first_few_of_their_prompts(project, ada, tmp_path):
    for shade, name in enumerate(("a.png", "b.png", "c.png")):
        (tmp_path / name).write_bytes(picture(shade))
    rows = [manifest_row(key=f"m{number}") for number in range(6)]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    import_generations(project=project, manifest=manifest, by=ada)
    first = list(project.prompts.order_by("pk").values_list("pk", flat=True)[:NAMED_PROMPTS])
    assert logged(Kind.IMAGES_ADDED) == first
    rankings = tmp_path / "rankings.json"
    rankings.write_text(json.dumps([ranking_row(key=f"r{number}") for number in range(5)]))
    import_rankings(project=project, file=rankings, now=NOW, images=tmp_path)
    ranked = project.prompts.filter(key__startswith="r").order_by("pk").values_list("pk", flat=True)
    assert logged(Kind.RANKINGS_ADDED) == list(ranked[:NAMED_PROMPTS])


@pytest.fixture
def listed(project, ada, a_prompt):
    """Prompts of three images: an entry about one of them, one about many, one about what is gone."""
    prompts = [a_prompt() for _ in range(6)]
    record_action(Kind.ACCEPTED, project=project, by=ada, subject="answer 7", prompt_ids=[prompts[0].pk])
    record_action(
        Kind.WORK_OPENED,
        project=project,
        by=ada,
        subject="6 opinions",
        prompt_ids=(one.pk for one in prompts[1:]),
    )
    record_action(Kind.SENT_BACK, project=project, by=ada, subject="answer 8", prompt_ids=[9_000_000])
    return prompts


def test_an_entry_about_one_prompt_has_its_strip_and_one_about_many_an_image_of_each(
    ada, project, listed, django_assert_max_num_queries
):
    client = as_(ada)
    with django_assert_max_num_queries(9):
        page = client.get(f"/projects/{project.slug}/log/").text
    gone, many, one = (row.split("</tr>")[0] for row in page.split("<tr>")[2:5])
    address = "/projects/{}/prompts/{}/"
    assert one.count("/small") == 3
    assert f'<a href="{address.format(project.slug, listed[0].pk)}">answer 7</a>' in one
    assert many.count("/small") == NAMED_PROMPTS
    for prompt in listed[1:5]:
        assert many.count(f'href="{address.format(project.slug, prompt.pk)}"') == 1
    assert "<img" not in gone
    assert "answer 8" in gone
    assert "href" not in gone


def test_an_entry_about_a_task_of_a_study_leads_to_no_page(ada, project, listed):
    Prompt.objects.filter(pk=listed[0].pk).update(is_of_study=True)
    page = as_(ada).get(f"/projects/{project.slug}/log/").text
    assert "answer 7" in page
    assert f"/prompts/{listed[0].pk}/" not in page
    assert f"/prompts/{listed[1].pk}/" in page


def test_the_log_is_for_admins(rita, alice, project, listed):
    for person in (rita, alice):
        assert as_(person).get(f"/projects/{project.slug}/log/").status_code == 404
