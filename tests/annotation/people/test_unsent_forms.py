"""The session ends, a form is sent, the person signs in again: what they filled in is there."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import resolve
from django.utils.timezone import now

from annotation.models import Project, Prompt, UnsentForm, Upload
from annotation.services.imports import run_import
from annotation.services.people.unsent_forms import LIFE, MARK, MOST, keep_form, mark_of
from tests.annotation.projects.test_log import PAGES, stage  # noqa: F401  # a fixture
from tests.annotation.projects.test_pages import as_

PASSWORD = "a long secret"
NEXT = re.compile(r"/sign-in/\?next=(/unsent/[0-9a-f-]+/)$")


def sign_in(client, person, onward):
    person.set_password(PASSWORD)
    person.save()
    return client.post("/sign-in/", {"username": person.username, "password": PASSWORD, "next": onward})


def fields_of(page):
    """The hidden fields of a form as a browser sends them."""
    texts = re.findall(r'<textarea name="([^"]+)" hidden>\n(.*?)</textarea>', page.text, re.DOTALL)
    inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    fields = {}
    for name, value in [*texts, *inputs]:
        fields.setdefault(unescape(name), []).append(unescape(value))
    return fields


def test_every_form_of_a_project_waits_for_its_user(stage, ada, rita, django_user_model):  # noqa: F811
    root = django_user_model.objects.create_superuser("root")
    people = {"ada": ada, "rita": rita, "root": root}
    for _, who, address, sent, _ in PAGES:
        path, person = address.format(stage), people[who]
        answer = Client().post(path, {**sent, MARK: mark_of(person)})
        page = as_(person).get(NEXT.match(answer.url)[1])
        assert f'action="{path}"' in page.text
        fields = fields_of(page)
        assert {name: fields[name] for name in sent} == {
            name: value if isinstance(value, list) else [value] for name, value in sent.items()
        }


def test_a_form_is_sent_after_signing_in_again_and_is_then_forgotten(project, ada):
    client = Client()
    text = "\n# Be fair\r\n\r\n<b>&amp; kind</b> \u202e 🦊"
    path = f"/projects/{project.slug}/guideline/"
    answer = client.post(path, {"text": text, MARK: mark_of(ada)})
    assert "What you filled in is kept" in client.get(answer.url).text
    onward = sign_in(client, ada, NEXT.match(answer.url)[1])
    page = client.get(onward.url)
    assert "Not sent yet" in page.text
    assert client.post(path, fields_of(page)).status_code == 302
    assert project.guidelines.first().text.strip() == text.strip()
    assert not UnsentForm.objects.exists()
    assert client.get(onward.url).status_code == 404


def test_what_is_refused_when_it_is_sent_at_last_is_shown_filled_in_and_still_waits(project, ada, a_project):
    answer = Client().post("/projects/new/", {"name": "Foxes", "slug": "a b", MARK: mark_of(ada)})
    ada.is_superuser = True
    ada.save()
    client = as_(ada)
    refused = client.post("/projects/new/", fields_of(client.get(NEXT.match(answer.url)[1])))
    assert refused.status_code == 422
    assert 'value="Foxes"' in refused.text
    assert UnsentForm.objects.count() == 1


def test_nobody_else_gets_it(project, ada, eve, rita):
    path = f"/inspect/{project.slug}/people/1/pause/"
    page = NEXT.match(Client().post(path, {"reason": "hasty", MARK: mark_of(rita)}).url)[1]
    for person in (ada, eve):
        assert as_(person).get(page).status_code == 404
    assert "hasty" in as_(rita).get(page).text


@pytest.mark.parametrize("mark", ["", "1", "1:forged", "x\0", "9" * 30])
def test_a_form_that_was_shown_to_nobody_is_not_kept_and_signing_in_leads_to_its_page(project, ada, mark):
    path = f"/projects/{project.slug}/people/add/"
    sent = {"username": "eve", MARK: mark.replace("1", str(ada.pk))}
    for referer, onward in (
        (f"http://testserver/projects/{project.slug}/people/", f"/projects/{project.slug}/people/"),
        ("http://elsewhere/x/", "/"),
        ("http://[", "/"),
        ("", "/"),
    ):
        answer = Client().post(path, sent, headers={"Referer": referer})
        assert answer.url == f"/sign-in/?next={onward}"
    assert not UnsentForm.objects.exists()


def test_secrets_are_not_kept(ada):
    passwords = {"old_password": "one", "new_password1": "two", "new_password2": "two"}
    headers = {"Referer": "http://testserver/account/password/"}
    answer = Client().post("/account/password/", {**passwords, MARK: mark_of(ada)}, headers=headers)
    assert answer.url == "/sign-in/?next=/account/password/"
    Client().post("/account/tokens/", {"name": "laptop", "password": "one", MARK: mark_of(ada)})
    assert UnsentForm.objects.get().fields == [["name", "laptop"]]


def test_a_file_is_named_to_be_chosen_again(project, ada):
    path = f"/projects/{project.slug}/prompts/add/"
    file = SimpleUploadedFile("my prompts.txt", b"a hare")
    answer = Client().post(path, {"material": file, MARK: mark_of(ada)})
    client = as_(ada)
    page = client.get(NEXT.match(answer.url)[1])
    assert "Choose <q>my prompts.txt</q> again" in page.text
    assert 'enctype="multipart/form-data"' in page.text
    again = {**fields_of(page), "material": SimpleUploadedFile("my prompts.txt", b"a hare")}
    assert client.post(path, again).status_code == 302
    run_import(Upload.objects.get(), clock=now)
    assert Prompt.objects.filter(text="a hare").exists()


def test_a_page_older_than_the_last_sign_in_loses_nothing(project, ada, eve):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    path = f"/projects/{project.slug}/guideline/"
    old = fields_of(client.get(path)) | {"text": "Be kind"}
    client.logout()
    client.force_login(ada)  # in another tab
    client.get("/account/")
    answer = client.post(path, old)
    assert answer.url.startswith("/unsent/")
    page = client.get(answer.url)
    assert "Be kind" in page.text
    assert client.post(path, fields_of(page)).status_code == 302
    assert project.guidelines.first().text == "Be kind"

    client.force_login(eve)
    client.get("/account/")
    refused = client.post(path, old | {"text": "Be quick"})
    assert (refused.status_code, "Be quick" in refused.text) == (409, False)
    assert "somebody else was signed in" in refused.text
    client.logout()
    before = UnsentForm.objects.count()
    assert NEXT.match(client.post(path, old | {"text": "Be slow"}).url)
    assert UnsentForm.objects.count() == before + 1
    old.pop(MARK)
    assert client.post(path, old).status_code == 403


def test_a_sign_in_page_older_than_the_last_sign_in_is_shown_anew(ada, db):
    client = Client(enforce_csrf_checks=True)
    client.get("/sign-in/")
    assert (
        client.post("/sign-in/", {"username": "ada", "next": "/account/"}).url == "/sign-in/?next=/account/"
    )


def test_a_browser_without_cookies_reads_why_it_cannot_sign_in(db):
    page = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "ada", "password": "a secret"})
    assert (page.status_code, "Allow cookies" in page.text) == (403, True)


def test_a_script_keeps_its_own_page_and_nothing_is_kept_for_it(project, ada):
    path = f"/projects/{project.slug}/try/"
    answer = Client().post(path, {"prompt": "a fox", MARK: mark_of(ada)}, headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert not UnsentForm.objects.exists()


def test_signing_out_twice_keeps_nothing(ada):
    assert Client().post("/sign-out/", {MARK: mark_of(ada)}).url == "/sign-in/"
    assert not UnsentForm.objects.exists()


def test_forms_are_kept_for_a_day_and_so_many_of_a_person(ada, eve):
    def keep(user, number, at):
        return keep_form(user=user, address="/", fields=[("n", f"{number}\0")], files=[], now=at)

    start = now()
    keep(eve, 0, start)
    for number in range(MOST + 2):
        keep(ada, number, start + timedelta(seconds=number))
    assert [form.fields[0][1] for form in ada.unsent_forms.all()] == [str(n) for n in range(MOST + 1, 1, -1)]
    keep(ada, 99, start + LIFE)
    assert not eve.unsent_forms.exists()
    assert ada.unsent_forms.count() == MOST


def test_an_address_that_only_takes_forms_says_so(project, ada):
    path = f"/projects/{project.slug}/people/add/"
    assert resolve(path).url_name == "add-person"
    answer = as_(ada).get(path)
    assert (answer.status_code, "only takes" in answer.text) == (405, True)
    assert Project.objects.count() == 1
