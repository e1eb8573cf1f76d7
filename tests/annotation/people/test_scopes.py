"""Tokens for one project, and how many requests a person may make."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory

from annotation.access import MAY, Do, may, permissions_anywhere, permissions_in, standing_in
from annotation.api.requests import stays_in_scope
from annotation.models import ApiToken, RequestCount
from annotation.services.people.rates import count_request
from annotation.services.people.tokens import issue_token, use_token
from annotation.services.projects.projects import add_member
from tests.cast import NOW


@pytest.fixture
def elsewhere(a_project):
    return a_project()


def program(user, **scope):
    _, secret = issue_token(user=user, name="p", days=None, now=timezone.now(), **scope)
    return APIClient(headers={"Authorization": f"Bearer {secret}"})


def test_a_token_for_a_project_sees_no_other(project, elsewhere, ada, a_prompt):
    images = [a_prompt(1, project=where).generations.first().image.token for where in (project, elsewhere)]
    narrow, wide = program(ada, project=project), program(ada)
    for client, status, slugs in ((wide, 200, {project.slug, elsewhere.slug}), (narrow, 403, {project.slug})):
        assert client.get(f"/api/v1/projects/{project.slug}/progress/").status_code == 200
        assert client.get(f"/api/v1/projects/{elsewhere.slug}/progress/").status_code == status
        sent = {"prompts": [{"id": f"n{status}", "prompt": "new"}]}
        added = client.post(f"/api/v1/projects/{elsewhere.slug}/prompts/", sent, format="json")
        assert added.status_code == (201 if status == 200 else 403)
        assert {row["slug"] for row in client.get("/api/v1/projects/").json()} == slugs
        assert client.get(f"/api/v1/images/{images[0]}/").status_code == 200
        assert client.get(f"/api/v1/images/{images[1]}/").status_code == (200 if status == 200 else 404)
        asked = {"project": elsewhere.slug, "prompt": "a", "images": [{"data": "eA=="}]}
        answer = client.post("/api/v1/scores", asked, format="json")
        assert (answer.status_code == 404) == (status == 403)
    assert elsewhere.prompts.filter(key="n403").count() == 0


def test_a_token_for_a_project_narrows_every_question_for_permissions(project, elsewhere, alice, ada):
    add_member(project=elsewhere, user=alice, role="inspector")
    _, secret = issue_token(user=alice, name="p", days=None, now=NOW, project=project)
    user = use_token(secret=secret, now=NOW).user
    assert permissions_in(project, user) == permissions_anywhere(user) == MAY["annotator"]
    assert (permissions_in(elsewhere, user), may(user, Do.SEE, elsewhere)) == (frozenset(), False)
    _, secret = issue_token(user=ada, name="p", days=None, now=NOW, project=project)
    user = use_token(secret=secret, now=NOW).user
    assert standing_in(project.slug, user) is not None
    assert standing_in(elsewhere.slug, user) is None


def test_an_endpoint_without_a_project_in_its_address_is_shut_unless_it_stays_in_scope(project, ada):
    @api_view(["GET"])
    def anything(request):
        return Response()

    _, secret = issue_token(user=ada, name="p", days=None, now=timezone.now(), project=project)
    request = APIRequestFactory().get("/", headers={"Authorization": f"Bearer {secret}"})
    assert anything(request).status_code == 403
    assert stays_in_scope(anything)(request).status_code == 200
    nameless = [
        pattern for pattern in _endpoints(get_resolver().url_patterns) if "slug" not in str(pattern.pattern)
    ]
    assert {pattern.name for pattern in nameless} == {"api-projects", "api-image", "api-scores"}
    assert all(hasattr(pattern.callback.cls, "stays_in_scope") for pattern in nameless)


def _endpoints(entries):
    for entry in entries:
        if hasattr(entry, "url_patterns"):
            yield from _endpoints(entry.url_patterns)
        elif (
            hasattr(entry.callback, "cls")
            and (entry.name or "").startswith("api-")
            and entry.name != "api-docs"
        ):
            yield entry


def test_the_page_makes_a_token_for_one_of_ones_own_projects(project, elsewhere, alice, client):
    client.force_login(alice)
    assert elsewhere.name not in client.get("/account/").text
    fields = {"name": "mine", "days": "30", "reads_only": "on"}
    refused = client.post("/account/tokens/", fields | {"project": elsewhere.pk})
    assert refused.status_code == 422
    page = client.post("/account/tokens/", fields | {"project": project.pk})
    assert f"read what you can read in {project.name}" in page.text
    assert ApiToken.objects.get().project == project


def test_a_token_opens_nothing_of_a_project_that_its_owner_left(project, alice):
    client = program(alice, project=project)
    assert len(client.get("/api/v1/projects/").json()) == 1
    project.memberships.filter(user=alice).delete()
    assert client.get("/api/v1/projects/").json() == []


# Rates


def test_past_so_many_requests_in_a_minute_comes_429_whichever_token_and_others_go_on(
    ada, bob, project, settings, monkeypatch
):
    settings.API_REQUESTS_A_MINUTE = 3
    monkeypatch.setattr(timezone, "now", lambda: NOW.replace(second=20))
    clients = [program(ada), program(ada, project=project)]
    answers = [clients[number % 2].get("/api/v1/projects/") for number in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["Retry-After"] == "40"
    assert program(bob).get("/api/v1/projects/").status_code == 200
    monkeypatch.setattr(timezone, "now", lambda: NOW + timedelta(minutes=1))
    assert clients[0].get("/api/v1/projects/").status_code == 200
    settings.API_REQUESTS_A_MINUTE = 0
    assert {clients[0].get("/api/v1/projects/").status_code for _ in range(4)} == {200}


def test_strangers_are_counted_by_address(db, settings, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)  # all within one minute
    settings.API_REQUESTS_A_MINUTE = 1
    statuses = [
        APIClient(REMOTE_ADDR=f"192.0.2.{last}").get("/api/v1/schema/").status_code for last in (1, 2, 1)
    ]
    assert statuses == [200, 200, 429]


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_are_all_counted_and_old_counts_forgotten():
    def ask(_):
        try:
            return count_request("user 1", now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(24))) == list(range(1, 25))
    count_request("user 2", now=NOW + timedelta(hours=2))
    assert RequestCount.objects.get().client == "user 2"
