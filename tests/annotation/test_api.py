"""The API: the same reads and writes as the pages, by token, for who may."""

import json

import pytest
from rest_framework.test import APIClient

from annotation.models import Assignment, Prompt
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept
from annotation.services.people.tokens import issue_token
from tests.cast import NOW, answer_for, luck

API = "/api/v1/projects/"


def signed_in(user) -> APIClient:
    client = APIClient()
    _, secret = issue_token(user=user, name="test", days=None, now=NOW)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


@pytest.fixture
def accepted(alice, rita, project, a_prompt):
    """One accepted ranking, two images tied."""
    a_prompt()
    held = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    submit_judgement(
        assignment=held,
        annotator=alice,
        judgement=answer_for(held, slots=[1, 2, 2]),
        now=NOW,
        generator=luck(),
    )
    accept(assignment=held, inspector=rita, now=NOW)
    return Assignment.objects.get(pk=held.pk)


def test_nobody_gets_anything_without_a_token(project):
    for path in ("", f"{project.slug}/progress/", f"{project.slug}/prompts/", f"{project.slug}/rankings/"):
        assert APIClient().get(API + path).status_code == 401


def test_people_see_the_projects_they_are_members_of(alice, ada, eve, project, a_project):
    a_project()
    assert [found["slug"] for found in signed_in(alice).get(API).json()] == [project.slug]
    assert len(signed_in(ada).get(API).json()) == 2
    assert signed_in(eve).get(API).json() == []


def test_inspectors_and_admins_read_progress_and_others_get_404(accepted, alice, rita, ada, eve, project):
    path = f"{API}{project.slug}/progress/"
    for user in (rita, ada):
        read = signed_in(user).get(path).json()
        assert (read["prompts"], read["images"], read["finished"], read["pairs"], read["ties"]) == (
            1,
            3,
            1,
            2,
            1,
        )
        assert read["days"] == [{"day": "2026-03-14", "answers": 1}]
        assert read["annotators"][0]["username"] == "alice"
    for user in (alice, eve):
        assert signed_in(user).get(path).status_code == 404


def test_admins_read_prompts_with_their_images_page_by_page(ada, alice, rita, project, a_prompt):
    first, _ = a_prompt(), a_prompt()
    path = f"{API}{project.slug}/prompts/"
    read = signed_in(ada).get(path, {"limit": 1}).json()
    assert (read["count"], read["results"][0]["id"]) == (2, first.key)
    image = read["results"][0]["generations"][0]
    assert (image["source"], image["generator"]) == ("p1-0.png", "sd")
    assert image["sha256"] == first.generations.first().image_id
    for user in (alice, rita):
        assert signed_in(user).get(path).status_code == 404


def test_admins_add_prompts_and_again_adds_nothing(ada, alice, project):
    path = f"{API}{project.slug}/prompts/"
    body = {"prompts": [{"id": "1", "prompt": "a fox"}, {"id": "2", "prompt": "an owl"}]}
    added = signed_in(ada).post(path, body, format="json")
    assert (added.status_code, added.json()) == (201, {"new": 2, "known": 0})
    assert signed_in(ada).post(path, body, format="json").json() == {"new": 0, "known": 2}
    assert signed_in(alice).post(path, body, format="json").status_code == 404


@pytest.mark.parametrize(
    ("prompts", "status"),
    [
        ([{"id": "1", "prompt": "a cat"}], 409),
        ([{"id": "2", "prompt": "a fox"}, {"id": "2", "prompt": "an owl"}], 400),
        ([{"id": "2", "prompt": ""}], 400),
        ([{"id": "2", "prompt": " \n"}], 400),
        ([{"id": "2", "prompt": "a\0b"}], 400),
        ([{"id": "x" * 201, "prompt": "a fox"}], 400),
        ([{"id": "2"}], 400),
        ([], 400),
        ("a fox", 400),
        ([{"id": "2", "prompt": "x" * 2001}], 400),
    ],
)
def test_bad_prompts_are_refused_and_none_is_added(ada, project, prompts, status):
    path = f"{API}{project.slug}/prompts/"
    signed_in(ada).post(path, {"prompts": [{"id": "1", "prompt": "a fox"}]}, format="json")
    assert signed_in(ada).post(path, {"prompts": prompts}, format="json").status_code == status
    assert [prompt.text for prompt in Prompt.objects.all()] == ["a fox"]


def test_admins_stream_the_rankings_and_others_get_404(accepted, ada, alice, rita, project):
    path = f"{API}{project.slug}/rankings/"
    response = signed_in(ada).get(path)
    assert response.streaming
    (item,) = json.loads(b"".join(response.streaming_content))
    assert dict(zip(item["generations"], item["ranking"], strict=True)) == {
        "p1-0.png": 1,
        "p1-1.png": 2,
        "p1-2.png": 2,
    }
    for user in (alice, rita):
        assert signed_in(user).get(path).status_code == 404


def test_the_schema_names_every_endpoint(ada):
    schema = signed_in(ada).get("/api/v1/schema/", HTTP_ACCEPT="application/json").json()
    for path in ("", "{slug}/progress/", "{slug}/prompts/", "{slug}/rankings/", "{slug}/exports/"):
        assert API + path in schema["paths"]


def test_superusers_look_at_rows_in_the_admin_and_change_none(accepted, ada, client):
    ada.is_superuser = ada.is_staff = True
    ada.save()
    client.force_login(ada)
    for model in ("project", "prompt", "assignment", "review", "membership", "rating", "image", "export"):
        assert client.get(f"/admin/annotation/{model}/").status_code == 200
    Prompt.objects.filter(pk=accepted.prompt_id).update(is_of_study=True)
    assert client.get(f"/admin/annotation/prompt/{accepted.prompt_id}/change/").status_code == 200
    assert client.get(f"/admin/annotation/assignment/{accepted.pk}/change/").status_code == 200
    assert client.get("/admin/annotation/assignment/add/").status_code == 403
    assert client.post(f"/admin/annotation/assignment/{accepted.pk}/delete/").status_code == 403
