"""Opening, reading and closing studies by command and by the API."""

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from refl.models import Study
from refl.selectors.prompts import texts_for_studies
from refl.services.studies import close_study
from tests.cast import NOW
from tests.refl.studied import answer, hand_in

API = "/api/v1/projects/"


def client_of(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def at(project, *more):
    return "/".join([f"{API}{project.slug}/studies", *map(str, more), ""])


def test_the_command_opens_a_study_and_says_what_it_can_find(project, prompts, generator, rivals, capsys):
    call_command("open_study", project.slug, "--generators", "small", "coarse", "--captions", "3")
    study = Study.objects.get()
    said = capsys.readouterr().out
    assert f"study {study.pk}, coarse against small: 3 prompts, 3 tasks" in said
    assert f"manage.py generate --run {study.run.pk}" in said
    assert "a preference of 60 % is decided after 234 prompts on average (194 if looked at once)" in said


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (["--generators", "small"], "2 generators or more, not 1"),
        (["--generators", "small", "nobody"], "no generator 'nobody'; there is: "),
        (["--generators", "small", "small"], "named twice"),
        (["--generators", "small", "coarse", "--captions", "1"], "captions: 2 to"),
        (["--generators", "small", "coarse", "--prompts", "/nowhere.txt"], "/nowhere.txt"),
    ],
)
def test_the_command_refuses_in_one_line(project, prompts, generator, rivals, asked, refusal):
    with pytest.raises(CommandError) as error:
        call_command("open_study", project.slug, *asked)
    assert refusal in str(error.value)
    assert "\n" not in str(error.value)


def test_the_command_takes_texts_from_a_file(project, prompts, generator, rivals, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts_for_studies(project, [])[:2]))
    call_command("open_study", project.slug, "--generators", "small", "coarse", "--prompts", str(file))
    assert Study.objects.get().tasks.count() == 2


def test_an_admin_opens_reads_closes_and_repeats_a_study(ada, project, prompts, promoted, generator, rivals):
    admin = client_of(ada)
    asked = {"generators": ["small", "coarse"], "captions": 4, "name": "spring"}
    opened = admin.post(at(project), asked, format="json")
    assert opened.status_code == 201
    told = opened.json()
    assert (told["name"], told["state"], told["generators"]) == ("spring", "drawing", ["small", "coarse"])
    assert (told["power"]["fixed"], told["power"]["rate"]) == (194, 0.6)
    [listed] = admin.get(at(project)).json()["results"]
    assert (listed["id"], listed["wanted"], listed["is_public"]) == (told["id"], 0, False)
    closed = admin.post(at(project, told["id"], "close"), {"reason": "A typo."}, format="json").json()
    assert (closed["state"], closed["reason"]) == ("closed", "A typo.")
    again = admin.post(at(project, told["id"], "repeat"))
    assert (again.status_code, again.json()["name"]) == (201, "spring (2)")


def test_a_report_and_its_votes_are_read_by_who_researches(a_study, alice, rosa, project):
    study = hand_in(a_study(stops=False))
    answer(study, alice, ["coarse", "small"], tasks=3)
    reader = client_of(rosa)
    report = reader.get(at(project, study.pk)).json()
    assert report["study"]["answered"] == 3
    assert report["rates"][0]["wins"] == 3
    assert report["rates"][0]["low"] < 0.5 < report["rates"][0]["high"]
    assert report["counts"]["waiting"] == 1
    assert report["categories"][0]["category"] == "Animals"
    assert report["agreement"]["not_enough"] == "0 of 10 prompts"
    assert report["stop"]["kind"] == "go_on"
    path = f"{API}{project.slug}/studies/{study.pk}/votes"
    rows = list(csv.DictReader(io.StringIO(b"".join(reader.get(f"{path}.csv").streaming_content).decode())))
    assert [(row["first"], row["second"], row["vote"]) for row in rows] == [("small", "coarse", "1.0")] * 3
    assert {row["annotator"] for row in rows} != {"alice"}
    assert len(json.loads(reader.get(f"{path}.json").content)) == 3
    assert reader.get(f"{path}.xml").status_code == 404


def test_votes_without_an_answer_are_a_header(a_study, rosa, project):
    path = f"{API}{project.slug}/studies/{a_study().pk}/votes.csv"
    header = b"".join(client_of(rosa).get(path).streaming_content).decode()
    assert header.removeprefix("\ufeff").startswith("caption,text,category,seed,annotator,first,second,vote")


def test_a_study_that_cannot_be_is_refused_and_names_the_reason(ada, project, prompts, generator, rivals):
    admin = client_of(ada)
    for asked, status, said in (
        ({"generators": ["small", "nobody"]}, 400, "has no generator 'nobody'"),
        ({"generators": ["small"]}, 409, "2 generators or more"),
        ({"generators": ["small", "coarse"], "design": "duels"}, 400, "duels"),
        ({"generators": ["small", "coarse"], "opinions": 0}, 409, "opinions: 1 to 100"),
    ):
        refused = admin.post(at(project), asked, format="json")
        assert refused.status_code == status
        assert said in refused.content.decode()
    assert not Study.objects.exists()


def test_annotators_and_inspectors_find_no_study_and_researchers_change_none(
    a_study,
    alice,
    rita,
    rosa,
    eve,
    project,
):
    study = a_study()
    votes = f"{API}{project.slug}/studies/{study.pk}/votes.csv"
    for person in (alice, rita, eve):
        for path in (at(project), at(project, study.pk), votes):
            assert client_of(person).get(path).status_code == 404
    for person in (alice, rita, rosa, eve):
        for path in (at(project), at(project, study.pk, "close"), at(project, study.pk, "repeat")):
            assert client_of(person).post(path, {}, format="json").status_code == 404
    assert Study.objects.get().state == "drawing"


def test_a_study_closed_twice_keeps_its_first_reason(a_study, ada, project):
    study = close_study(a_study(), reason="Enough.", now=NOW)
    assert (
        client_of(ada).post(at(project, study.pk, "close"), {}, format="json").json()["reason"] == "Enough."
    )
