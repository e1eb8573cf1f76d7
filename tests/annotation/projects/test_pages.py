"""What inspectors and admins see and do in a browser, and how everybody else is refused."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client

from annotation.models import Acknowledgement, Assignment, Membership, Project, PromptLabel, User
from annotation.services.assignments.priorities import record_scores
from annotation.services.imports import import_rankings
from tests.annotation.imports.rows import ranking_row
from tests.annotation.imports.test_rankings import BLOCKED
from tests.annotation.posts import address, begin, filled_in
from tests.cast import NOW


@pytest.fixture
def answered(alice, project, a_prompt):
    """An answer of alice's that waits for an inspector."""
    a_prompt(images=3)
    hers = Client()
    task = begin(hers, alice, project)
    hers.post(address(task), filled_in(task))
    return task


def as_(person):
    client = Client()
    client.force_login(person)
    return client


# Signing in


def test_signing_in_leads_home_or_to_the_page_asked_for(client, alice):
    alice.set_password("a long secret")
    alice.save()
    secrets = {"username": "alice", "password": "a long secret"}
    assert client.post("/sign-in/", secrets).url == "/"
    client.post("/sign-out/")
    assert client.post("/sign-in/", {**secrets, "next": "/inspect/"}).url == "/inspect/"


def test_who_asked_for_home_is_not_told_that_signing_in_leads_to_a_page(client):
    for page, is_told in (("/", False), ("/inspect/", True)):
        assert ("You will go on to the page you asked for." in client.get(page, follow=True).text) == is_told


def test_whoever_is_signed_in_reads_of_which_zone_times_are(client, alice):
    assert "times are in UTC" not in client.get("/sign-in/").text
    for page in ("/", "/account/"):
        assert as_(alice).get(page).text.count("UTC") == 1


def test_signing_in_never_leads_to_another_site(client, alice):
    alice.set_password("a long secret")
    alice.save()
    for outside in ("https://evil.example/", "//evil.example", "javascript:alert(1)"):
        page = client.post("/sign-in/", {"username": "alice", "password": "a long secret", "next": outside})
        assert page.url == "/"
        client.post("/sign-out/")


def test_a_wrong_password_says_so_without_saying_whether_the_name_exists(client, alice):
    known = client.post("/sign-in/", {"username": "alice", "password": "wrong"}).text
    unknown = client.post("/sign-in/", {"username": "nobody", "password": "wrong"}).text
    assert "do not match an account" in known
    assert "do not match an account" in unknown


def test_home_shows_everybody_what_there_is_to_do(alice, rita, ada, eve, answered, a_prompt):
    a_prompt()
    assert "Start" in as_(alice).get("/").text
    assert "1 answer waits to be inspected" in as_(rita).get("/").text
    assert f"/projects/{answered.project.slug}/" in as_(ada).get("/").text
    assert "You are in no project yet" in as_(eve).get("/").text
    assert Client().get("/").url == "/sign-in/?next=/"


# Images


def test_an_image_comes_with_lasting_caching_and_only_to_members(answered, alice, eve):
    image = answered.prompt.generations.first().image
    page = as_(alice).get(f"/images/{image.token}")
    assert b"".join(page.streaming_content)[:4] == b"\x89PNG"
    assert page.headers["Content-Type"] == "image/png"
    assert page.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Content-Disposition"] == 'inline; filename="image.png"'
    assert page.headers["ETag"] == f'"{image.token}"'
    assert "Last-Modified" not in page.headers
    again = as_(alice).get(f"/images/{image.token}", headers={"If-None-Match": page.headers["ETag"]})
    assert again.status_code == 304
    for stranger in (Client(), as_(eve)):
        asked = stranger.get(f"/images/{image.token}", headers={"If-None-Match": page.headers["ETag"]})
        assert asked.status_code == 404
    assert as_(alice).get(f"/images/{uuid4()}").status_code == 404
    assert as_(alice).get(f"/images/{image.sha256}").status_code == 404
    assert as_(alice).get("/images/../settings.py").status_code == 404


# Inspecting


def test_an_inspector_reads_an_answer_without_generators_and_scores(rita, answered):
    answered.prompt.generations.update(generator="secretive-v9", score=1.2345)
    page = as_(rita).get(f"/inspect/{answered.pk}/").text
    assert answered.prompt.text in page
    assert "Animals" in page
    assert page.count('alt="Image ') == 3
    assert "secretive-v9" not in page
    assert "1.23" not in page


def test_an_accepted_answer_leads_to_the_next_one(rita, answered, bob, project, a_prompt):
    a_prompt(images=2)
    his = Client()
    task = begin(his, bob, project)
    his.post(address(task), filled_in(task))
    page = as_(rita).post(f"/inspect/{answered.pk}/accept/")
    assert page.url == f"/inspect/{task.pk}/"
    answered.refresh_from_db()
    assert answered.state == Assignment.State.ACCEPTED


def test_an_answer_is_sent_back_with_a_reason_only(rita, answered):
    hers = as_(rita)
    refused = hers.post(f"/inspect/{answered.pk}/send-back/", {"reason": "  "})
    assert refused.status_code == 422
    assert "Say why" in refused.text
    assert hers.post(f"/inspect/{answered.pk}/send-back/", {"reason": "hasty"}).url == "/inspect/"
    answered.refresh_from_db()
    assert answered.state == Assignment.State.REJECTED
    assert "hasty" in hers.get(f"/inspect/{answered.pk}/").text


def test_rankings_that_came_without_their_images_can_be_read_and_sent_back(rita, project, written):
    file = written("r.json", [ranking_row()])
    import_rankings(project=project, file=file, now=NOW, without_images=True)
    answer = Assignment.objects.get()
    PromptLabel.objects.create(assignment=answer, category="animals")
    hers = as_(rita)
    page = hers.get(f"/inspect/{answer.pk}/").text
    assert page.count("No file") == 3
    assert page.count("not known") == 2
    page = hers.post(f"/inspect/{answer.pk}/send-back/", {"reason": "hasty"}, follow=True)
    assert "Nobody else is asked" in page.text
    assert Assignment.objects.get().state == Assignment.State.REJECTED


def test_of_two_inspectors_the_slower_one_is_told(rita, ada, answered):
    as_(ada).post(f"/inspect/{answered.pk}/accept/")
    late = as_(rita).post(f"/inspect/{answered.pk}/accept/")
    assert late.status_code == 409
    assert "Somebody was faster" in late.text


def test_annotators_and_strangers_find_no_queue_and_no_answer(alice, bob, eve, answered, a_project):
    other = User.objects.create_user("otto")
    Membership.objects.create(project=a_project(), user=other, role=Membership.Role.INSPECTOR)
    for person in (alice, bob, eve, other):
        them = as_(person)
        assert them.get("/inspect/").status_code == (200 if person is other else 404)
        assert them.get(f"/inspect/{answered.pk}/").status_code == 404
        assert them.post(f"/inspect/{answered.pk}/accept/").status_code == 404
    answered.refresh_from_db()
    assert answered.state == Assignment.State.SUBMITTED


def test_a_task_in_somebodys_hands_cannot_be_inspected(rita, alice, project, a_prompt, client):
    a_prompt()
    task = begin(client, alice, project)
    assert as_(rita).get(f"/inspect/{task.pk}/").status_code == 404


# Projects


PAGES = ["", "settings/", "references/", "guideline/", "people/", "prompts/", "exports/"]


@pytest.mark.parametrize("page", PAGES)
def test_a_projects_pages_are_for_its_admins_only(page, project, ada, alice, rita, eve, answered, a_project):
    address = f"/projects/{project.slug}/{page}"
    assert as_(ada).get(address).status_code == 200
    other = User.objects.create_user("otto")
    Membership.objects.create(project=a_project(), user=other, role=Membership.Role.ADMIN)
    for person in (alice, rita, eve, other):
        assert as_(person).get(address).status_code == 404
    assert Client().get(address).url.startswith("/sign-in/")


def test_the_list_of_projects_is_for_admins(ada, alice, project):
    assert project.name in as_(ada).get("/projects/").text
    assert as_(alice).get("/projects/").status_code == 404
    assert as_(alice).get("/projects/new/").status_code == 404


NEW = {
    "name": "Foxes",
    "slug": "foxes",
    "asks_ratings": "on",
    "slots": "4",
    "per_slot": "1",
    "consistency": "warn",
    "opinions_per_prompt": "3",
    "review_share": "0.2",
    "longest_prompt": "2000",
    "lease_minutes": "30",
    "task_order": "prompt",
    "choice_rule": "d_optimal",
    "skips_per_hundred": "5",
    "extra_opinions": "2",
    "agreement_wanted": "0.7",
    "gold_share": "0.1",
    "repeat_share": "0.05",
    "qualification_threshold": "0.7",
    "gold_floor": "0",
    "seconds_per_image": "0",
    "pause_window": "20",
    "guideline": "# Foxes first",
}


def test_an_admin_makes_a_project(ada, project):
    assert as_(ada).post("/projects/new/", NEW).url == "/projects/foxes/"
    made = Project.objects.get(slug="foxes")
    assert (made.asks_label, made.asks_ratings, made.slots, made.consistency) == (False, True, 4, "warn")
    assert made.guidelines.get().text == "# Foxes first"
    assert made.memberships.get().user == ada


@pytest.mark.django_db(transaction=True)
def test_of_two_projects_made_at_once_under_one_short_name_the_second_is_refused_at_the_field(ada, project):
    def make():
        try:
            return as_(ada).post("/projects/new/", NEW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        with transaction.atomic():
            Project.objects.create(slug="foxes", name="Foxes of another")
            second = threads.submit(make)
            with connection.cursor() as cursor:
                while not cursor.rowcount > 0:
                    assert not second.done(), second.result()
                    cursor.execute(BLOCKED)
        page = second.result()
    assert page.status_code == 422
    assert 'id="id_slug_error"' in page.text
    assert Project.objects.filter(slug="foxes").count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", "not a slug"),
        ("slug", "new"),
        ("slots", "1"),
        ("per_slot", "10"),
        ("review_share", "1.5"),
        ("lease_minutes", "0"),
        ("gold_share", "0.6"),
        ("qualification_threshold", "1.1"),
        ("pause_window", "2"),
        ("consistency", "sometimes"),
        ("guideline", ""),
        ("name", ""),
    ],
)
def test_a_project_out_of_range_is_refused_at_the_field(ada, project, field, value):
    page = as_(ada).post("/projects/new/", NEW | {field: value})
    assert page.status_code == 422
    assert f'id="id_{field}_error"' in page.text
    assert Project.objects.count() == 1


def test_settings_change_but_not_those_that_answers_depend_on(ada, project, answered):
    page = as_(ada).get(f"/projects/{project.slug}/settings/")
    now = {name: page.context["form"][name].value() for name in page.context["form"].fields if name != "axes"}
    now = {name: value for name, value in now.items() if value is not False}
    changed = as_(ada).post(f"/projects/{project.slug}/settings/", now | {"lease_minutes": "15"})
    assert changed.status_code == 302
    refused = as_(ada).post(f"/projects/{project.slug}/settings/", now | {"slots": "7"})
    assert refused.status_code == 422
    assert "Stays as it is" in refused.text
    project.refresh_from_db()
    assert (project.lease_minutes, project.slots) == (15, 5)


def test_a_new_guideline_is_a_new_version(ada, project, alice):
    as_(ada).post(
        f"/projects/{project.slug}/guideline/", {"text": "# Be fairer\n\n<script>alert(1)</script>"}
    )
    assert project.guidelines.first().version == 2
    page = as_(alice).get(f"/work/{project.slug}/").text
    assert "Be fairer" in page
    assert "<script>alert" not in page
    assert as_(alice).post(f"/work/{project.slug}/guideline/9/").status_code == 404
    assert not Acknowledgement.objects.exists()


def test_a_new_account_shows_its_password_once(ada, project):
    hers = as_(ada)
    page = hers.post(
        f"/projects/{project.slug}/people/add/", {"username": "zoe", "role": "annotator", "new_account": "on"}
    )
    password = page.context["password"]
    assert password in page.text
    assert password not in hers.get(f"/projects/{project.slug}/people/").text
    assert Client().login(username="zoe", password=password)
    assert Membership.objects.get(user__username="zoe").role == "annotator"


def test_people_are_added_by_name_and_removed(ada, project, eve, alice):
    hers = as_(ada)
    people = f"/projects/{project.slug}/people/"
    assert hers.post(people + "add/", {"username": "eve", "role": "inspector"}).status_code == 302
    assert Membership.objects.get(user=eve).role == "inspector"
    assert hers.post(f"{people}{eve.pk}/remove/").status_code == 302
    assert not Membership.objects.filter(user=eve).exists()
    assert hers.post(f"{people}{eve.pk}/remove/").status_code == 404
    assert hers.post(f"{people}{ada.pk}/remove/").status_code == 409
    assert as_(alice).post(people + "add/", {"username": "alice", "role": "admin"}).status_code == 404


@pytest.mark.parametrize(
    ("posted", "said"),
    [
        ({"username": "nobody", "role": "annotator"}, "There is no account of this name."),
        (
            {"username": "alice", "role": "annotator", "new_account": "on"},
            "There is an account of this name",
        ),
        ({"username": "two words", "role": "annotator", "new_account": "on"}, "Enter a valid username"),
        ({"username": "eve", "role": "emperor"}, "Select a valid choice"),
        ({"username": "ada", "role": "annotator"}, "You cannot take this project from yourself."),
        ({"username": "", "role": "annotator"}, "This field is required"),
    ],
)
def test_people_who_cannot_be_added_are_refused_with_a_reason(ada, project, alice, eve, posted, said):
    page = as_(ada).post(f"/projects/{project.slug}/people/add/", posted)
    assert page.status_code == 422
    assert said in page.text


def test_admins_see_generators_and_scores_beside_the_images(ada, project, answered):
    first = answered.prompt.generations.first()
    record_scores(scores={first.pk: 1.2345}, scored_by="round 0")
    address_of_prompt = f"/projects/{project.slug}/prompts/{answered.prompt.pk}/"
    assert "percentile" not in as_(ada).get(address_of_prompt).text  # that model does not know
    record_scores(scores={first.pk: 1.2345}, scored_by="round 1", standings={first.pk: (73.6, 0.663)})
    text = as_(ada).get(address_of_prompt).text
    assert "1.23" in text
    assert "74th percentile" in text
    assert "66 % preferred" in text
    assert "round 1" in text
    found = as_(ada).get(f"/projects/{project.slug}/prompts/?q=walrus&page=x")
    assert "No prompt has these words." in found.text


def test_anothers_prompt_is_not_shown_in_this_project(ada, project, answered, a_project):
    other = a_project()
    assert as_(ada).get(f"/projects/{other.slug}/prompts/{answered.prompt.pk}/").status_code == 404


def test_progress_answers_polling_with_its_part_of_the_page(ada, project, answered):
    page = as_(ada).get(f"/projects/{project.slug}/", headers={"HX-Request": "true"}).text
    assert page.lstrip().startswith('<section id="progress"')
    assert "alice" in page


def test_a_whole_number_of_answers_a_day_has_no_decimals(ada, project, answered):
    page = as_(ada).get(f"/projects/{project.slug}/").text
    assert "<dt>Answers a day, last 7 days</dt><dd>1</dd>" in page


def test_pages_that_are_not_there_say_so_kindly(client, alice):
    client.force_login(alice)
    page = client.get("/nowhere/")
    assert page.status_code == 404
    assert "There is no such page" in page.text
