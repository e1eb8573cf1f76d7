"""A new password for who forgot theirs: by whose link, how often, and what a stranger learns."""

import re
from datetime import timedelta
from smtplib import SMTPServerDisconnected

import pytest
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from annotation import tasks
from annotation.models import Action, Assignment, RequestedMail, SignInAttempt, User
from annotation.services.actions import record_action
from annotation.services.people.attempts import MOST_FOR_ACCOUNT_FROM_ADDRESS
from annotation.services.people.mails import request_reset_mails, send_due_mails
from annotation.services.people.resets import reset_key, resettable_members
from annotation.services.projects.projects import add_member, remove_member
from config.celery import app
from tests.annotation.projects.test_pages import as_
from tests.annotation.test_hanging import suspended
from tests.cast import NOW

OLD, NEW = "a long secret", "another long one"
TWICE = {"new_password1": NEW, "new_password2": NEW}


@pytest.fixture
def ann(alice):
    alice.set_password(OLD)
    alice.email = "alice@example.org"
    alice.save()
    return alice


@pytest.fixture
def mail(settings):
    """A server for mail is named."""
    settings.SENDS_EMAIL = True


def sign_in(client, password, name="alice"):
    return client.post("/sign-in/", {"username": name, "password": password}).status_code == 302


def link_in(text, path="reset"):
    (link,) = set(re.findall(rf"http://testserver(/[\w/]*{path}/[^\s<&]+/)", text))
    return link


def test_an_admins_link_sets_a_password_once_and_signs_out_everywhere(project, ada, ann):
    there = Client()
    assert sign_in(there, OLD)
    ann.refresh_from_db()
    page = as_(ada).post(f"/projects/{project.slug}/people/{ann.pk}/reset/")
    link, browser = link_in(page.text), Client()
    assert "alice" in browser.get(link).text
    assert browser.post(link, TWICE | {"new_password2": "x"}).status_code == 422
    assert (
        browser.post(link, {"new_password1": "alicealice", "new_password2": "alicealice"}).status_code == 422
    )
    assert browser.post(link, TWICE).url == "/sign-in/"
    assert there.get("/account/").status_code == 302
    assert sign_in(browser, NEW)
    for over in (link, "/reset/nothing/", "/reset/zzzzzzzzzzzzzzzzzzzz.x-y/", link[:-2] + "/"):
        assert browser.get(over).status_code == 404
        assert browser.post(over, TWICE).status_code == 404


def test_a_link_ends_with_the_next_sign_in_and_in_time(ann, settings):
    link = f"/reset/{reset_key(ann)}/"
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().get(link).status_code == 404
    settings.PASSWORD_RESET_TIMEOUT = 60
    assert Client().get(link).status_code == 200
    assert sign_in(Client(), OLD)
    assert Client().get(link).status_code == 404


def test_where_a_link_was_opened_an_account_under_attack_can_be_signed_in_to(ann):
    browser = Client(REMOTE_ADDR="192.0.2.1")
    for _ in range(MOST_FOR_ACCOUNT_FROM_ADDRESS):
        assert not sign_in(browser, "wrong")
    assert not sign_in(browser, OLD)
    browser.post(f"/reset/{reset_key(ann)}/", TWICE)
    assert sign_in(browser, NEW)
    assert SignInAttempt.objects.filter(device="").count() == MOST_FOR_ACCOUNT_FROM_ADDRESS


def test_an_admin_takes_over_no_account_that_reaches_beyond_their_projects(
    project, a_project, ada, alice, bob, rita
):
    root = User.objects.create_superuser("root")
    other, second = a_project(), User.objects.create_user("second")
    other.memberships.filter(user=ada).delete()
    add_member(project=project, user=root, role="annotator")
    add_member(project=project, user=second, role="admin")
    add_member(project=other, user=bob, role="annotator")
    assert set(resettable_members(project, by=ada)) == {alice, rita}
    assert set(resettable_members(project, by=root)) == {ada, alice, bob, rita, second}
    for beyond in (root, second, bob, ada):
        assert as_(ada).post(f"/projects/{project.slug}/people/{beyond.pk}/reset/").status_code == 404
    assert as_(rita).post(f"/projects/{project.slug}/people/{alice.pk}/reset/").status_code == 404
    page = as_(ada).get(f"/projects/{project.slug}/people/").text
    assert page.count("Make a link for a new password") == 2


def test_nor_one_that_reached_beyond_them_before(project, a_project, a_prompt, ada, alice, bob, eve, rita):
    other = a_project()
    other.memberships.filter(user=ada).delete()
    rita.is_staff = True
    rita.save()
    add_member(project=other, user=bob, role="annotator")
    a_prompt(2, project=other)
    Assignment.objects.filter(pk=other.assignments.first().pk).update(
        annotator=bob, state=Assignment.State.SUBMITTED, submitted_at=NOW, leased_until=NOW
    )
    remove_member(project=other, user=bob)
    add_member(project=project, user=eve, role="annotator")
    record_action(Action.Kind.JOINED, project=other, by=eve)
    record_action(Action.Kind.TOKEN_MADE, project=None, by=alice)
    record_action(Action.Kind.REVISED, project=project, by=alice)
    assert set(resettable_members(project, by=ada)) == {alice}


@pytest.mark.parametrize("change", ["role", "staff"])
def test_a_link_ends_when_the_account_comes_to_reach_further(ann, a_project, change):
    link = f"/reset/{reset_key(ann)}/"
    assert Client().get(link).status_code == 200
    if change == "role":
        add_member(project=a_project(), user=ann, role="admin")
    else:
        ann.is_staff = True
        ann.save()
    assert Client().get(link).status_code == 404


def test_a_command_makes_a_link_for_anybody(db, capsys):
    User.objects.create_superuser("root")
    call_command("reset_password", "root")
    link = capsys.readouterr().out.split()[0]
    assert Client().get(link).status_code == 200
    with pytest.raises(CommandError, match="no active account"):
        call_command("reset_password", "nobody")


def test_by_mail_the_answer_is_the_same_whether_there_is_an_account(ann, mail, mailoutbox, client):
    assert "Password forgotten" in client.get("/sign-in/").text
    answers = [
        client.post("/forgotten/", {"email": to}) for to in ("Alice@example.org", "nobody@example.org")
    ]
    assert {answer.status_code for answer in answers} == {200}
    send_due_mails(now=timezone.now())
    assert not RequestedMail.objects.exists()
    texts = [re.sub(r"[\w.]+@example.org|\w{64}", "", answer.text) for answer in answers]
    assert texts[0] == texts[1]
    (message,) = mailoutbox
    assert message.to == ["alice@example.org"]
    browser = Client()
    assert browser.post(link_in(message.body), TWICE).status_code == 302
    assert sign_in(browser, NEW)
    assert Action.objects.filter(kind=Action.Kind.RESET_LINK_MADE, subject="alice").count() == 1


@pytest.mark.parametrize(("length", "status"), [(254, 200), (255, 422), (320, 422)])
def test_an_address_longer_than_any_is_refused(db, mail, client, length, status):
    address = "@example.org".rjust(length, "a")
    assert client.post("/forgotten/", {"email": address}).status_code == status


def test_nobody_is_flooded_with_mail(ann, mail, mailoutbox, client, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)  # all within one minute
    statuses = [client.post("/forgotten/", {"email": "alice@example.org"}).status_code for _ in range(7)]
    send_due_mails(now=NOW)
    assert statuses == [200] * 5 + [429] * 2
    assert len(mailoutbox) == 1


def test_a_mail_that_its_server_refused_is_sent_again_once(ann, mail, mailoutbox, client, monkeypatch):
    send, refusals = EmailBackend.send_messages, [SMTPServerDisconnected(), ConnectionRefusedError()]

    def send_at_last(backend, letters):
        if refusals:
            raise refusals.pop()
        return send(backend, letters)

    monkeypatch.setattr(EmailBackend, "send_messages", send_at_last)
    assert client.post("/forgotten/", {"email": "alice@example.org"}).status_code == 200
    minute, begun = timedelta(minutes=1), timezone.now()
    for later in (0, 0.5, 1, 2, 3, 60):  # refused at 0 and 1, taken at 3
        send_due_mails(now=begun + later * minute)
        assert len(mailoutbox) == (later >= 3)
    assert (refusals, RequestedMail.objects.count()) == ([], 0)


def test_a_mail_that_no_server_takes_is_given_up_in_an_hour(ann, mail, client, monkeypatch):
    def refuse(backend, letters):
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailBackend, "send_messages", refuse)
    client.post("/forgotten/", {"email": "alice@example.org"})
    begun = timezone.now()
    for minutes in range(61):
        send_due_mails(now=begun + timedelta(minutes=minutes))
    assert not RequestedMail.objects.exists()
    assert not Action.objects.filter(kind=Action.Kind.RESET_LINK_MADE).exists()


def test_nobody_keeps_a_confirmation_from_the_owner_who_hears_of_one_withheld(
    ann, mail, mailoutbox, client, monkeypatch
):
    monkeypatch.setattr(timezone, "now", lambda: NOW)  # all within one minute
    hers, asked = as_(ann), {"email": "alice@example.org", "password": OLD}
    client.post("/forgotten/", {"email": "alice@example.org"})
    pages = []
    for _ in range(2):
        pages.append(hers.post("/account/address/", asked))
        send_due_mails(now=NOW)
    assert [page.status_code for page in pages] == [200, 429]
    assert "within the last minute" in pages[1].text
    assert sorted(letter.subject.partition(" ")[0] for letter in mailoutbox) == ["A", "Confirm"]


def test_without_a_server_for_mail_there_is_no_such_page_and_without_a_broker_the_mail_waits(
    ann, client, settings, mailoutbox
):
    assert client.get("/forgotten/").status_code == 404
    assert "forgotten" not in client.get("/sign-in/").text
    assert as_(ann).get("/account/address/").status_code == 404
    settings.SENDS_EMAIL = True
    app.control.ping(timeout=0.01)  # there is a connection by now, as there is in a process that serves
    with suspended("valkey"):
        assert client.post("/forgotten/", {"email": "alice@example.org"}).status_code == 200
    tasks.send_mails()  # as it is scheduled
    assert len(mailoutbox) == 1


def test_an_address_is_ones_own_once_its_mail_was_answered(ann, bob, mail, mailoutbox):
    hers = as_(ann)
    asked = {"email": "new@example.org", "password": "wrong"}
    assert hers.post("/account/address/", asked).status_code == 422
    assert hers.post("/account/address/", asked | {"password": OLD}).status_code == 200
    send_due_mails(now=timezone.now())
    link = link_in(mailoutbox[0].body, "address")
    assert as_(bob).get(link).status_code == 404
    assert "new@example.org" in hers.get(link).text
    ann.refresh_from_db()
    assert ann.email == "alice@example.org"
    assert hers.post(link).url == "/account/"
    ann.refresh_from_db()
    assert ann.email == "new@example.org"
    assert hers.get(link[:-2] + "/").status_code == 404


def test_accounts_that_sign_in_without_a_password_get_no_mail(ann, mailoutbox):
    ann.set_unusable_password()
    ann.save()
    request_reset_mails(address="alice@example.org", link="KEY", now=timezone.now())
    send_due_mails(now=timezone.now())
    assert mailoutbox == []
