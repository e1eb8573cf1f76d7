"""Quality, pauses, qualifications, references, agreement and leaderboard over the API: as on the pages."""

import pytest

from annotation.models import Action, Pause, Qualification, Reference
from annotation.services.checks.references import claim_reference
from annotation.services.judgements.judgements import submit_judgement
from tests.annotation.judged import judge
from tests.annotation.test_api import API, signed_in
from tests.cast import NOW, answer_for, luck


@pytest.fixture
def at(project):
    return lambda path: f"{API}{project.slug}/{path}/"


@pytest.mark.parametrize(
    ("path", "readers"),
    [
        ("quality", {"rita", "ada"}),
        ("pauses", {"rita", "ada"}),
        ("qualifications", {"rita", "ada"}),
        ("references", {"rosa", "ada"}),
        ("agreement", {"rita", "rosa", "ada"}),
        ("leaderboard", {"rita", "rosa", "ada"}),
    ],
)
def test_only_who_may_see_the_page_reads_the_endpoint(at, path, readers, alice, rita, rosa, ada, eve):
    read = {
        person.username
        for person in (alice, rita, rosa, ada, eve)
        if signed_in(person).get(at(path)).status_code == 200
    }
    assert read == readers


def test_a_pause_is_made_seen_and_lifted_once(at, alice, rita):
    client = signed_in(rita)
    sent = {"annotator": "alice", "reason": "hasty"}
    made = client.post(at("pauses"), sent, format="json")
    assert (made.status_code, made.json()["rule"], made.json()["paused_by"]) == (201, "hand", "rita")
    assert client.post(at("pauses"), sent, format="json").status_code == 409
    (row,) = client.get(at("quality")).json()
    assert (row["username"], row["pause"]["reason"]) == ("alice", "hasty")
    assert signed_in(alice).post(at("tasks/next"), {"version": 1}, format="json").status_code == 409
    lifted = client.delete(at(f"pauses/{made.json()['id']}"))
    assert (lifted.status_code, lifted.json()["lifted_by"]) == (200, "rita")
    assert client.delete(at(f"pauses/{made.json()['id']}")).status_code == 409
    assert client.get(at("quality")).json()[0]["pause"] is None
    assert client.get(at("pauses") + "?annotator=alice").json()["count"] == 1
    assert client.get(at("pauses") + "?annotator=bob").json()["count"] == 0


@pytest.mark.parametrize(
    ("path", "sent", "field"),
    [
        ("pauses", {"annotator": "rita", "reason": "x"}, "annotator"),
        ("pauses", {"annotator": "alice", "reason": " "}, "reason"),
        ("pauses", {"annotator": "a\0", "reason": "x"}, "detail"),
        ("qualifications", {"annotator": "alice", "outcome": "maybe", "reason": "x"}, "outcome"),
        ("qualifications", {"annotator": "alice", "outcome": "refused"}, "reason"),
        ("references", {"assignment": 0, "purpose": "gold"}, "assignment"),
        ("references", {"assignment": 0, "purpose": "fun"}, "purpose"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(at, alice, rita, ada, path, sent, field):
    refused = signed_in(ada).post(at(path), sent, format="json")
    assert (refused.status_code, set(refused.json())) == (400, {field})
    assert not Pause.objects.exists()
    assert not Qualification.objects.exists()


def test_somebody_is_qualified_by_hand_and_the_newest_decision_counts(at, alice, rita):
    client = signed_in(rita)
    for outcome in ("refused", "qualified"):
        sent = {"annotator": "alice", "outcome": outcome, "reason": "I saw her work"}
        made = client.post(at("qualifications"), sent, format="json")
        assert (made.status_code, made.json()["decided_by"]) == (201, "rita")
    listed = client.get(at("qualifications")).json()["results"]
    assert [one["outcome"] for one in listed] == ["qualified", "refused"]
    assert client.get(at("quality")).json()[0]["qualification"]["outcome"] == "qualified"


def test_an_admin_chooses_a_trusted_answer_and_retires_it(at, project, rosa, ada, alice, a_prompt):
    answer = claim_reference(researcher=rosa, project=project, now=NOW, generator=luck(), prompt=a_prompt())
    client, sent = signed_in(ada), {"assignment": answer.pk, "purpose": "gold"}
    assert client.post(at("references"), sent, format="json").status_code == 409  # not answered yet
    submit_judgement(
        assignment=answer, annotator=rosa, judgement=answer_for(answer), now=NOW, generator=luck()
    )
    made = client.post(at("references"), sent, format="json")
    assert (made.status_code, made.json()["answered_by"], made.json()["answers"]) == (201, "rosa", 0)
    assert signed_in(rosa).post(at("references"), sent, format="json").status_code == 404
    address = at(f"references/{made.json()['id']}")
    assert signed_in(rosa).delete(address).status_code == 404
    assert client.delete(address).status_code == 204
    assert client.delete(address).status_code == 204
    assert Reference.objects.get().retired_at
    assert Action.objects.filter(kind="reference.retired").count() == 1
    assert signed_in(rosa).get(at("references")).json()["results"][0]["retired_at"]


def test_agreement_has_each_figure_with_its_interval_or_why_there_is_none(a_project, alice, bob, ada):
    few, many = (a_project(opinions_per_prompt=2, review_share=0.0) for _ in range(2))
    judge(few, [alice, bob])
    judge(many, [alice, bob], texts={str(number): f"take {number}" for number in range(10)})
    client = signed_in(ada)
    told = client.get(f"{API}{few.slug}/agreement/").json()
    assert (told["measure"], told["answers"], told["prompts"], told["shared"]) == ("strict", 6, 3, 3)
    annotators = dict(zip(told["columns"], told["table"][1]["figures"], strict=True))
    assert annotators["Annotators"]["not_enough"] == "3 of 10 prompts"
    assert annotators["Annotators"]["value"] is None
    assert {one["username"] for one in told["people"]} == {"alice", "bob"}
    assert [one["axis"] for one in told["ratings"]] == ["overall", "alignment", "fidelity"]
    told = client.get(f"{API}{many.slug}/agreement/?by=half").json()
    figure = told["table"][1]["figures"][1]
    # One said 1, 3, 3 and the other 4, 1, 2: of three pairs one is tied by one of them alone.
    assert (figure["value"], figure["low"], figure["prompts"]) == (
        pytest.approx(1 / 6),
        pytest.approx(1 / 6),
        10,
    )
    assert told["table"][2]["figures"][2] is None
    assert client.get(f"{API}{many.slug}/agreement/?by=x").status_code == 400


def test_the_leaderboard_ranks_generators_or_says_why_not(a_project, alice, bob, ada):
    few, many = (a_project(opinions_per_prompt=2, review_share=0.0) for _ in range(2))
    judge(few, [alice, bob])
    judge(many, [alice, bob], texts={str(number): f"take {number}" for number in range(10)})
    client = signed_in(ada)
    (board,) = client.get(f"{API}{few.slug}/leaderboard/").json()["boards"]
    assert (board["standings"], board["not_enough"]) == ([], "3 of 10 prompts")
    (board,) = client.get(f"{API}{many.slug}/leaderboard/").json()["boards"]
    assert set(board["generators"]) == {"model 0", "model 1"}
    first, second = board["standings"]
    assert (first["rank"], second["rank"], first["score"]) == (1, 2, None)
    assert first["strength"]["value"] == pytest.approx(-second["strength"]["value"], abs=1e-6)
    assert first["wins"] == second["losses"]
