"""Invitations by link: whom they let in, how often, until when."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Action, Invitation, Membership, User
from annotation.services.people.invitations import AlreadyMember, InvitationOver, invite, join, revoke
from annotation.services.people.tokens import issue_token
from annotation.views import people
from tests.annotation.projects.test_pages import as_
from tests.annotation.test_api import signed_in
from tests.cast import NOW

DAY = timedelta(days=1)
PASSWORD = {"new_password1": "a long secret", "new_password2": "a long secret"}


def link(project, ada, role="annotator", uses=1):
    return invite(project=project, role=role, uses=uses, expires_at=NOW + DAY, by=ada, now=NOW)


def test_a_link_gives_its_role_as_often_as_it_says(project, ada, eve):
    invitation, token = link(project, ada, role="researcher")
    assert token not in str(vars(invitation))
    assert join(token=token, user=eve, now=NOW).role == "researcher"
    with pytest.raises(InvitationOver):
        join(token=token, user=User.objects.create_user("zoe"), now=NOW)


def test_it_ends_at_its_time_and_when_it_is_revoked(project, ada, eve):
    _, token = link(project, ada)
    with pytest.raises(InvitationOver):
        join(token=token, user=eve, now=NOW + DAY)
    revoked, token = link(project, ada)
    revoke(invitation=revoked, by=ada, now=NOW)
    with pytest.raises(InvitationOver):
        join(token=token, user=eve, now=NOW)
    with pytest.raises(InvitationOver):
        revoke(invitation=revoked, by=ada, now=NOW)
    assert not Membership.objects.filter(user=eve).exists()


def test_a_link_changes_nobodys_role_and_is_not_used_by_them(project, ada, alice):
    invitation, token = link(project, ada, role="inspector")
    with pytest.raises(AlreadyMember):
        join(token=token, user=alice, now=NOW)
    invitation.refresh_from_db()
    assert invitation.used == 0


def test_nobody_is_invited_as_admin(project, ada):
    with pytest.raises(IntegrityError), transaction.atomic():
        link(project, ada, role="admin")
    posted = {"role": "admin", "uses": "1", "days": "1"}
    assert as_(ada).post(f"/projects/{project.slug}/people/invite/", posted).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_many_who_follow_a_link_at_once_no_more_get_in_than_it_says(project, ada):
    _, token = link(project, ada, uses=2)
    people = [User.objects.create_user(f"racer-{i}") for i in range(8)]

    def follow(person):
        try:
            return join(token=token, user=person, now=NOW)
        except InvitationOver:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        joined = [membership for membership in threads.map(follow, people) if membership]
    assert len(joined) == 2
    assert Invitation.objects.get().used == 2


def made(project, ada, **posted):
    page = as_(ada).post(
        f"/projects/{project.slug}/people/invite/", {"role": "annotator", "uses": "2", "days": "7"} | posted
    )
    return page.context["link"].removeprefix("http://testserver")


def test_the_link_is_shown_once_and_can_be_revoked(project, ada):
    address = made(project, ada)
    people = as_(ada).get(f"/projects/{project.slug}/people/")
    assert address not in people.text
    assert "0 of 2" in people.text
    invitation = Invitation.objects.get()
    as_(ada).post(f"/projects/{project.slug}/people/invitations/{invitation.pk}/revoke/")
    over = Client().get(address)
    assert over.status_code == 404
    assert "This invitation is over" in over.text


def proposal(client, address, wish="zoe"):
    """The name that the page proposes, and what it posts."""
    page = client.post(address, {"wish": wish})
    assert page.status_code == 200
    return page.context["name"], {"proposal": page.context["form"].initial["proposal"]}


def test_a_new_person_makes_an_account_and_is_in(project, ada):
    address, client = made(project, ada), Client()
    assert f"Join {project.name}" in client.get(address).text
    assert client.post(address, {"wish": "zoe zoe"}).status_code == 422
    name, sent = proposal(client, address)
    assert re.fullmatch(r"zoe-\d{3}", name)
    for weak in ("123", name):
        refused = client.post(address, sent | {"new_password1": weak, "new_password2": weak})
        assert refused.status_code == 422
        assert name in refused.text
    assert not User.objects.filter(username=name).exists()
    assert client.post(address, sent | PASSWORD).url == "/"
    assert project.name in client.get("/").text
    assert Membership.objects.get(user__username=name).role == "annotator"


def test_the_page_tells_nobody_which_names_exist(project, ada, eve):
    address = made(project, ada)
    pages = [Client().post(address, {"wish": wish}) for wish in ("ada", "\u0430da", "nobody")]
    assert {page.status_code for page in pages} == {200}
    masked = [re.sub(r"(ada|\u0430da|nobody)-\d{3}(:[\w-]+)?|[\w]{64}", "", page.text) for page in pages]
    assert masked[0] == masked[1] == masked[2]


def test_nobody_draws_names_without_end(project, ada, monkeypatch):
    address, client = made(project, ada), Client()
    monkeypatch.setattr(people, "PROPOSALS_A_MINUTE", 2)
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)  # all within one minute
    statuses = [client.post(address, {"wish": "zoe"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_nobody_picks_a_name_without_its_number(project, ada):
    address, client = made(project, ada), Client()
    for forged in ("zoe", "zoe:forged", ""):
        assert client.post(address, {"proposal": forged} | PASSWORD).status_code == 200
    assert not User.objects.filter(username__startswith="zoe").exists()


def test_a_name_that_went_meanwhile_is_replaced_by_another(project, ada):
    address, client = made(project, ada), Client()
    name, sent = proposal(client, address)
    User.objects.create_user(name.upper())
    again = client.post(address, sent | PASSWORD)
    assert again.status_code == 200
    assert again.context["name"].startswith("zoe-")
    assert again.context["name"] != name
    assert not User.objects.filter(username=name).exists()


def test_somebody_with_an_account_joins_with_one_click(project, ada, eve, alice):
    address = made(project, ada)
    assert "Join as eve" in as_(eve).get(address).text
    assert as_(eve).post(address).url == "/"
    again = as_(alice).post(address)
    assert again.status_code == 409
    assert "already" in again.text


def test_only_admins_invite(project, alice, rita, ada):
    made(project, ada)
    revoke_it = f"/projects/{project.slug}/people/invitations/{Invitation.objects.get().pk}/revoke/"
    for person in (alice, rita):
        posted = {"role": "annotator", "uses": "1", "days": "1"}
        assert as_(person).post(f"/projects/{project.slug}/people/invite/", posted).status_code == 404
        assert as_(person).post(revoke_it).status_code == 404


def test_programs_of_admins_invite_and_withdraw_and_are_told_the_link_once(project, ada, eve, rita, alice):
    address = f"/api/v1/projects/{project.slug}/invitations/"
    made = signed_in(ada).post(address, {"role": "inspector", "uses": 2}, format="json")
    assert made.status_code == 201
    link = made.json().pop("link")
    token = link.rstrip("/").rpartition("/")[2]
    assert as_(eve).post(link.removeprefix("http://testserver")).status_code == 302
    listed = signed_in(ada).get(address)
    assert [(one["role"], one["used"], one["uses"]) for one in listed.json()["results"]] == [
        ("inspector", 1, 2)
    ]
    assert token not in listed.text + str([*Action.objects.values()])
    for fields, wrong in (
        ({}, "role"),
        ({"role": "admin"}, "role"),
        ({"role": "annotator", "uses": 0}, "uses"),
        ({"role": "annotator", "days": 91}, "days"),
        ({"role": "annotator", "note": "hello"}, "note"),
    ):
        refused = signed_in(ada).post(address, fields, format="json")
        assert (refused.status_code, [*refused.json()]) == (400, [wrong])
    one = f"{address}{made.json()['id']}/"
    for person in (rita, alice, eve):
        assert signed_in(person).get(address).status_code == 404
        assert signed_in(person).post(address, {"role": "annotator"}, format="json").status_code == 404
        assert signed_in(person).delete(one).status_code == 404
    assert signed_in(ada).delete(one).status_code == 204
    assert signed_in(ada).delete(one).status_code == 409
    assert signed_in(ada).get(address).json()["count"] == 0
    assert Client().get(link.removeprefix("http://testserver")).status_code == 404
    assert Invitation.objects.count() == 1


@pytest.mark.parametrize("scope", [{"reads_only": True}, {"project": "another"}])
def test_a_token_invites_within_its_scope_alone(project, a_project, ada, scope):
    scope = {name: a_project() if value == "another" else value for name, value in scope.items()}
    _, secret = issue_token(user=ada, name="narrow", days=None, now=NOW, **scope)
    client = APIClient(headers={"Authorization": f"Bearer {secret}"})
    address = f"/api/v1/projects/{project.slug}/invitations/"
    assert client.get(address).status_code == (200 if "reads_only" in scope else 403)
    assert client.post(address, {"role": "annotator"}, format="json").status_code == 403
    invitation, _ = link(project, ada)
    assert client.delete(f"{address}{invitation.pk}/").status_code == 403
    assert Invitation.objects.get().revoked_at is None
