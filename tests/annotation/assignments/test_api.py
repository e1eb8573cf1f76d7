"""Work over the API: what an annotator's program may ask, and how little it is told."""

import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Assignment, Pause, Project, Ranking
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import accept
from annotation.services.projects.projects import acknowledge, publish_guideline
from annotation.services.projects.prompts import add_prompts
from tests.annotation.test_api import signed_in
from tests.cast import NOW, answer_for, luck, picture


@pytest.fixture
def api(project):
    """Asks an endpoint of the project as somebody: with a body it posts, without one it reads."""

    def ask(person, path, body=None, **query):
        client = signed_in(person)
        address = f"/api/v1/projects/{project.slug}/{path}/"
        return client.get(address, query) if body is None else client.post(address, body, format="json")

    return ask


@pytest.fixture
def begun(project, alice, bob):
    """Alice and bob have read the guideline."""
    for person in (alice, bob):
        acknowledge(guideline=project.guidelines.first(), user=person)


@pytest.fixture
def task(api, alice, a_prompt, begun):
    a_prompt()
    return api(alice, "tasks/next", {}).json()


def answer_to(task, slots=(1, 2, 2), overall=(7, 5, 5), **changes):
    images = [
        {
            "number": image["number"],
            "slot": slot,
            "rating": {"overall": score, "alignment": 4, "fidelity": 4, "problems": []},
        }
        for image, slot, score in zip(task["images"], slots, overall, strict=True)
    ]
    label = {"category": "animals", "intent_unclear": False, "issues": []}
    return {"claim": task["claim"], "label": label, "images": images, **changes}


# One task at a time


def test_a_task_is_the_same_until_it_is_answered_and_then_there_is_none(api, alice, task):
    assert api(alice, "tasks/next", {}).json()["images"] == task["images"]
    assert (task["prompt"], [image["number"] for image in task["images"]]) == ("a fox, take 1", [1, 2, 3])
    assert api(alice, "answers", answer_to(task)).status_code == 201
    assert api(alice, "tasks/next", {}).status_code == 204


def test_nobody_begins_without_having_read_the_guideline(api, alice, project, a_prompt):
    a_prompt()
    assert api(alice, "tasks/next", {}).status_code == 409
    read = api(alice, "guideline").json()
    assert (read["version"], read["is_acknowledged"]) == (1, False)
    assert api(alice, "guideline", {"version": 1}).json()["is_acknowledged"]
    assert api(alice, "tasks/next", {}).status_code == 200
    publish_guideline(project=project, text="# Be fairer")
    assert "version 2" in api(alice, "tasks/next", {}).json()["detail"]
    assert api(alice, "guideline", {"version": 9}).status_code == 404


def test_somebody_paused_or_untested_is_told_so_and_given_nothing(api, alice, project, a_prompt, begun):
    a_prompt()
    Project.objects.filter(pk=project.pk).update(requires_qualification=True)
    untested = api(alice, "tasks/next", {})
    assert (untested.status_code, "test" in untested.json()["detail"]) == (409, True)
    Pause.objects.create(project=project, user=alice, reason="Let us talk", rule="gold", paused_at=NOW)
    paused = api(alice, "tasks/next", {})
    assert (paused.status_code, "Let us talk" in paused.json()["detail"]) == (409, True)


def test_only_annotators_are_given_tasks(api, rita, ada, eve, a_prompt):
    a_prompt()
    for person in (rita, ada, eve):
        assert api(person, "tasks/next", {}).status_code == 404
        answer = {"claim": NOW.isoformat(), "images": [{"number": 1, "slot": 1}]}
        assert api(person, "answers", answer).status_code == 404


# Blind


def test_an_annotator_is_told_nothing_that_tells_generators_apart(api, alice, task):
    api(alice, "answers", answer_to(task))
    told = json.dumps(task) + api(alice, "answers").text
    for secret in ("sd", "p1-0.png", '"id"', "score", "prompt_id", "assignment", "annotator", "inspector"):
        assert secret not in told


def test_an_annotator_fetches_the_images_shown_and_others_do_not(task, alice, eve):
    address = task["images"][0]["url"]
    page = signed_in(alice).get(address)
    assert b"".join(page.streaming_content)[:4] == b"\x89PNG"
    assert "p1" not in str(page.headers)
    assert signed_in(eve).get(address).status_code == 404
    assert APIClient().get(address).status_code == 401


def test_annotators_read_their_own_answers_and_inspectors_everybodys(api, alice, bob, rita, task, a_prompt):
    a_prompt()
    api(alice, "answers", answer_to(task))
    api(bob, "answers", answer_to(api(bob, "tasks/next", {}).json()))
    (mine,) = api(alice, "answers").json()["results"]
    assert (mine["claim"], mine["state"], [i["slot"] for i in mine["images"]]) == (
        task["claim"],
        "submitted",
        [1, 2, 2],
    )
    assert len(api(alice, "answers", annotator="bob").json()["results"]) == 1
    theirs = api(rita, "answers").json()["results"]
    assert [answer["annotator"] for answer in theirs] == ["alice", "bob"]
    assert theirs[0]["images"][0]["rating"]["overall"] == 7
    assert len(api(rita, "answers", annotator="bob").json()["results"]) == 1
    assert api(rita, "answers", state="accepted").json() == {"next": None, "cursor": None, "results": []}


# Answers


def test_the_same_answer_again_is_stored_once_and_another_is_refused(api, alice, task):
    first = api(alice, "answers", answer_to(task))
    again = api(alice, "answers", answer_to(task))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert api(alice, "answers", answer_to(task, slots=(1, 2, 3))).status_code == 409
    assert Ranking.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"claim": None}, "claim"),
        ({"label": {"category": "dragons", "intent_unclear": False, "issues": []}}, "label"),
        ({"label": {"category": "animals"}}, "label"),
        ({"images": []}, "images"),
        ({"images": "all"}, "images"),
        ({"images": [{"number": 1, "slot": 1}, {"number": 1, "slot": 2}]}, "images"),
        ({"images": [{"number": 9, "slot": 1}]}, "images"),
        ({"images": [{"number": 1, "slot": "best"}]}, "images"),
        ({"images": [{"number": 1, "slot": 1, "rating": {"overall": 8}}]}, "images"),
    ],
)
def test_a_malformed_answer_is_refused_at_its_field(api, alice, task, changes, where):
    refused = api(alice, "answers", answer_to(task, **changes))
    assert refused.status_code == 400
    assert where in refused.json()
    assert not Ranking.objects.exists()


@pytest.mark.parametrize(
    ("changes", "code", "images"),
    [
        ({"slots": (1, 1, 1)}, "slot_overfull", [1, 2, 3]),
        ({"slots": (1, 2, 6)}, "slot_out_of_range", [3]),
        ({"slots": (1, 2, 0)}, "slot_out_of_range", [3]),
        ({"overall": (5, 7, 5)}, "contradiction", [1, 2]),
        ({"label": None}, "invalid_label", []),
    ],
)
def test_what_the_projects_rules_refuse_names_the_images(api, alice, task, changes, code, images):
    refused = api(alice, "answers", answer_to(task, **changes))
    assert refused.status_code == 400
    assert (refused.json()["code"], refused.json()["images"]) == (code, images)
    assert not Ranking.objects.exists()


def test_an_image_left_out_is_named(api, alice, task):
    answer = answer_to(task)
    answer["images"].pop()
    refused = api(alice, "answers", answer).json()
    assert (refused["code"], refused["images"]) == ("incomplete_ratings", [3])


def test_a_confirmed_contradiction_is_taken_where_the_project_only_warns(api, alice, project, task):
    Project.objects.filter(pk=project.pk).update(consistency="warn")
    refused = api(alice, "answers", answer_to(task, overall=(5, 7, 5)))
    assert refused.json()["pairs"] == [[2, 1]]
    assert api(alice, "answers", answer_to(task, overall=(5, 7, 5), confirmed=True)).status_code == 201


@pytest.mark.parametrize("claim", ["", "x", "2026-03-14", "2026-03-14T09:00:00", "1999-01-01T00:00:00+00:00"])
def test_a_claim_that_is_not_the_annotators_is_not_there(api, alice, bob, task, claim):
    assert api(alice, "answers", answer_to(task, claim=claim)).status_code in (400, 404)
    assert api(bob, "answers", answer_to(task)).status_code == 404
    assert not Ranking.objects.exists()


# Inspection and set-up


def test_inspectors_accept_and_send_back_with_a_reason(api, alice, bob, rita, task):
    api(alice, "answers", answer_to(task))
    (answer,) = api(rita, "answers").json()["results"]
    path = f"assignments/{answer['assignment']}/reviews"
    assert api(rita, path, {"verdict": "rejected"}).json() == {
        "reason": ["Say why: it is kept with the answer."]
    }
    assert api(rita, path, {"verdict": "accepted"}).status_code == 201
    assert api(rita, path, {"verdict": "accepted"}).status_code == 409
    sent = api(rita, path, {"verdict": "rejected", "reason": "One image only"})
    assert (sent.json()["inspector"], sent.json()["verdict"]) == ("rita", "rejected")
    assert api(alice, path, {"verdict": "accepted"}).status_code == 404
    assert api(bob, "tasks/next", {}).json()["prompt"] == task["prompt"]
    assert [review["verdict"] for review in api(rita, "answers").json()["results"][0]["reviews"]] == [
        "rejected",
        "accepted",
    ]


def test_admins_add_images_open_work_and_see_where_it_is(api, ada, alice, begun, project):
    api(ada, "prompts", {"prompts": [{"id": "1", "prompt": "a fox"}]})
    address = f"/api/v1/projects/{project.slug}/images/"

    def add(number, **changes):
        fields = {"prompt_id": "1", "name": f"{number}.png", "generator": "sd", "seed": "7", **changes}
        file = picture(number)
        upload = SimpleUploadedFile("upload.png", changes.get("content", file))
        return signed_in(ada).post(address, {**fields, "file": upload}, format="multipart")

    assert [add(1).status_code, add(1).status_code, add(2).status_code] == [201, 200, 201]
    assert add(3, name="1.png").status_code == 409
    assert "is no PNG" in add(3, content=b"GIF89a").json()["file"][0]
    assert "prompt_id" in add(3, prompt_id="none").json()
    assert "parameters" in add(3, parameters="[1]").json()
    listed = api(ada, "images", generator="sd").json()
    assert (listed["count"], listed["results"][0]["seed"], listed["results"][0]["prompt_id"]) == (2, 7, "1")
    assert api(ada, "assignments", {"prompts": ["1"]}).json() == {"opened": 1}
    assert api(ada, "assignments", {}).json() == {"opened": 0}
    assert "prompts" in api(ada, "assignments", {"prompts": ["9"]}).json()
    claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    (held,) = api(ada, "assignments", state="leased").json()["results"]
    assert (held["annotator"], held["prompt_id"]) == ("alice", "1")


def test_what_is_for_admins_is_not_there_for_others(api, alice, rita, eve, task):
    for person in (alice, rita, eve):
        for path in ("images", "assignments", "prompts"):
            assert api(person, path).status_code == 404
            assert api(person, path, {}).status_code == 404


def test_inspectors_read_how_well_annotators_work_and_annotators_do_not(api, alice, rita, task):
    api(alice, "answers", answer_to(task))
    found, _ = api(rita, "quality").json()
    assert (found["username"], found["answered"], found["gold"]["share"]) == ("alice", 1, None)
    assert api(alice, "quality").status_code == 404


# Pages and schema


def test_a_page_is_never_longer_than_a_thousand(api, ada, project):
    texts = {str(number): f"a fox, take {number}" for number in range(1001)}
    add_prompts(project=project, texts=texts)
    page = api(ada, "prompts", limit=10**9).json()
    assert (len(page["results"]), page["count"]) == (1000, 1001)


def test_reading_more_answers_takes_no_more_statements(
    api, alice, rita, project, a_prompt, begun, django_assert_max_num_queries
):
    for _ in range(3):
        a_prompt()
        answer = answer_to(api(alice, "tasks/next", {}).json())
        assert api(alice, "answers", answer).status_code == 201
    accept(assignment=Assignment.objects.first(), inspector=rita, now=NOW)
    with django_assert_max_num_queries(14):  # two of them count the request
        assert len(api(rita, "answers").json()["results"]) == 3


@pytest.fixture
def five(alice, ada, project, a_prompt):
    """Five answers, of which three came in at one moment, as imports do. Their assignments, as they came."""
    for number in range(5):
        a_prompt()
        held = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
        at = NOW + timedelta(minutes=min(number, 2))
        submit_judgement(
            assignment=held, annotator=alice, judgement=answer_for(held), now=at, generator=luck()
        )
    return [*Assignment.objects.order_by("submitted_at", "pk").values_list("pk", flat=True)]


def test_answers_are_read_page_by_page_and_later_on_from_where_they_ended(api, rita, five, alice, a_prompt):
    seen, pages, query = [], 0, {"limit": 2}
    while True:
        page = api(rita, "answers", **query).json()
        seen += [answer["assignment"] for answer in page["results"]]
        pages, query = pages + 1, {"limit": 2, "cursor": page["cursor"]}
        if page["next"] is None:
            break
        assert f"cursor={page['cursor']}" in page["next"]
    assert (seen, pages) == (five, 3)
    nothing = api(rita, "answers", **query).json()
    assert nothing == {"next": None, "cursor": query["cursor"], "results": []}
    prompt = a_prompt()
    held = claim_next(annotator=alice, project=prompt.project, now=NOW, generator=luck())
    late = NOW + timedelta(days=1)
    submit_judgement(assignment=held, annotator=alice, judgement=answer_for(held), now=late, generator=luck())
    assert [answer["assignment"] for answer in api(rita, "answers", **query).json()["results"]] == [held.pk]


def test_an_answer_committed_after_later_ones_is_told_all_the_same(api, rita, five):
    just_now = timezone.now()
    Assignment.objects.filter(pk=five[4]).update(submitted_at=just_now)
    cursor = api(rita, "answers").json()["cursor"]
    Assignment.objects.filter(pk=five[3]).update(submitted_at=just_now - timedelta(seconds=5))
    told = api(rita, "answers", cursor=cursor).json()["results"]
    assert [answer["assignment"] for answer in told] == [five[3], five[4]]


def test_an_answer_that_comes_in_while_pages_are_read_shifts_none(api, rita, five):
    first = api(rita, "answers", limit=2).json()
    Assignment.objects.filter(pk=five[4]).update(submitted_at=NOW - timedelta(days=1))
    rest = api(rita, "answers", cursor=first["cursor"]).json()["results"]
    assert [answer["assignment"] for answer in rest] == five[2:4]


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": "ä"},
        {"cursor": "MjAyNi0wMy0xNA"},
        {"cursor": "MjAyNi0wMy0xNFQwOTowMDowMCA3"},  # a moment without its zone
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "00000000199999999"},
        {"limit": "1" * 5000},
        {"limit": "many"},
    ],
)
def test_a_page_that_cannot_be_is_refused(api, rita, five, query):
    refused = api(rita, "answers", **query)
    assert refused.status_code == 400
    assert set(refused.json()) == set(query)


def test_the_schema_is_valid_and_says_what_is_paged(capsys, tmp_path):
    file = tmp_path / "schema.json"
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", file=str(file))
    paths = json.loads(file.read_text())["paths"]
    listed = paths["/api/v1/projects/{slug}/prompts/"]["get"]
    assert "PaginatedPromptList" in json.dumps(listed["responses"])
    assert {"limit", "offset"} <= {parameter["name"] for parameter in listed["parameters"]}
    answers = paths["/api/v1/projects/{slug}/answers/"]["get"]
    assert {"limit", "cursor"} <= {parameter["name"] for parameter in answers["parameters"]}
    assert '"cursor"' in json.dumps(answers["responses"]["200"]) + file.read_text()
    assert listed["security"] == [{"token": []}, {"cookieAuth": []}]


def test_the_schema_groups_endpoints_and_says_of_each_what_it_does(client, db):
    paths = client.get("/api/v1/schema/?format=json").json()["paths"]
    assert all(operation["summary"] for path in paths.values() for operation in path.values())
    reads, does = (paths["/api/v1/projects/{slug}/references/"][method] for method in ("get", "post"))
    assert reads["tags"] == does["tags"] == ["references"]
    assert reads["summary"] == "The references, those in use first"
    assert does["summary"].startswith("Compare others with an answer")


def test_the_documentation_asks_nobody_else(client, db):
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://spec.openapis.org", "")
    assert client.get("/api/v1/schema/").status_code == 200


# Changing an answer


@pytest.fixture
def given(api, alice, task):
    """Alice's stored answer, as the API tells it."""
    return api(alice, "answers", answer_to(task)).json()


def change(project, person, given, slots=(1, 2, 3), **changes):
    body = answer_to(given, slots=slots, overall=(7, 5, 3)) | {"version": given["version"], **changes}
    return signed_in(person).put(f"/api/v1/projects/{project.slug}/answers/", body, format="json")


def test_an_own_answer_is_changed_until_it_is_inspected(project, alice, rita, given):
    changed = change(project, alice, given)
    assert changed.status_code == 200
    assert [image["slot"] for image in changed.json()["images"]] == [1, 2, 3]
    assert changed.json()["version"] != given["version"]
    accept(assignment=Assignment.objects.get(), inspector=rita, now=NOW)
    closed = change(project, alice, changed.json(), slots=(1, 1, 2))
    assert (closed.status_code, closed.json()["detail"]) == (409, "An inspector has accepted this answer.")


def test_a_change_made_from_words_that_are_gone_is_refused(project, alice, given):
    change(project, alice, given)
    late = change(project, alice, given, slots=(1, 1, 2))
    assert (late.status_code, "changed elsewhere" in late.json()["detail"]) == (409, True)


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_an_inspector_judges_no_words_that_they_never_read(api, project, alice, rita, given, verdict):
    [read] = api(rita, "answers").json()["results"]
    change(project, alice, given)
    path = f"assignments/{read['assignment']}/reviews"
    said = {"verdict": verdict, "reason": "One image only", "version": read["version"]}
    refused = api(rita, path, said)
    assert (refused.status_code, "read it again" in refused.json()["detail"]) == (409, True)
    [read] = api(rita, "answers").json()["results"]
    assert (read["state"], read["reviews"]) == ("submitted", [])
    assert api(rita, path, said | {"version": read["version"]}).status_code == 201


def test_nobody_changes_what_somebody_else_answered(project, bob, eve, rita, given):
    assert {change(project, person, given).status_code for person in (bob, eve, rita)} == {404}


def test_a_change_that_breaks_a_rule_is_refused(project, alice, given):
    refused = change(project, alice, given, slots=(3, 2, 1))
    assert (refused.status_code, refused.json()["code"]) == (400, "contradiction")
