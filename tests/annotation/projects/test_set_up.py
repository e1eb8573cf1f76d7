"""Projects made, set and filled by programs: over the API and by command, as the documentation has it."""

import json
import re
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils.timezone import now

from annotation import jobs
from annotation.forms.projects import ProjectForm
from annotation.models import Action, ApiToken, Generation, Project, Prompt, Reference, Upload, User
from annotation.services.imports import run_import, worker
from annotation.services.people.tokens import issue_token
from annotation.services.projects.projects import create_project
from tests.annotation.imports.test_uploads import foxes
from tests.annotation.test_api import API, signed_in
from tests.cast import NOW

DOCS = Path(__file__).parents[3] / "docs"
NEW = {"slug": "foxes", "name": "Foxes", "slots": 4, "per_slot": 1, "review_share": 0.25, "asks_label": False}


def block(page, heading):
    """The lines of the first block of commands under the heading, as they stand."""
    section = (DOCS / page).read_text().partition(f"\n## {heading}\n")[2]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1].splitlines()


def typed(lines, folder, **variables):
    """What a shell prints for the lines, a JSON document each."""
    given = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    script = "\n".join(["set -e", "curl() { command curl -sSf -w '\\n' \"$@\"; }", *given, *lines])
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.django_db(transaction=True)
def test_the_lines_of_the_documentation_set_up_a_project_over_the_api(
    live_server, project, ada, eve, tmp_path
):
    (tmp_path / "foxes.zip").write_bytes(foxes())
    auth = f"Authorization: Bearer {issue_token(user=ada, name='script', days=None, now=NOW)[1]}"
    lines = [line.replace("http://127.0.0.1:8000", live_server.url) for line in block("api.md", "Setting up")]
    made, *_, seated, prompts, upload = typed(lines[:7], tmp_path, auth=auth)
    run_import(Upload.objects.get(pk=upload["id"]), clock=now)
    uploads, reference, invitation = typed([lines[0], *lines[7:]], tmp_path, auth=auth)

    row = Project.objects.get(slug="foxes")
    assert (
        (row.slots, row.per_slot, row.opinions_per_prompt)
        == (4, 1, 2)
        == tuple(made[name] for name in ("slots", "per_slot", "opinions_per_prompt"))
    )
    assert (row.review_share, row.task_order) == (0.2, "breadth")
    assert row.guidelines.first().text == "# Be fair"
    assert User.objects.get(username="zoe", memberships__project=row).check_password(seated["password"])
    assert (prompts, uploads["results"][0]["state"]) == ({"new": 1, "known": 0}, "finished")
    assert Generation.objects.filter(prompt__project=row).count() == 2
    client = Client()
    client.force_login(eve)
    assert client.post(invitation["link"].removeprefix(live_server.url)).status_code == 302
    assert row.memberships.get(user=eve).role == "annotator"
    answer = {
        "claim": reference["claim"],
        "label": {"category": "animals", "intent_unclear": False, "issues": []},
        "images": [
            {"number": n, "slot": n, "rating": {"overall": 5, "alignment": 5, "fidelity": 5, "problems": []}}
            for n in (1, 2)
        ],
    }
    client = signed_in(ada)
    assert client.post(f"{API}foxes/answers/", answer, format="json").status_code == 201
    chosen = {"assignment": reference["assignment"], "purpose": "gold"}
    assert client.post(f"{API}foxes/references/", chosen, format="json").status_code == 201


def test_the_lines_of_the_documentation_set_up_a_project_by_command(
    db, written, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    written("guideline.md", "# Be fair")
    written("prompts.txt", "a fox\nan owl")
    lines = [re.sub(r"\s#.*", "", line) for line in block("running.md", "Your own project")]
    commands = [shlex.split(line)[2:] for line in lines]
    assert [words[0] for words in commands[:5]] == [
        *("createsuperuser", "create_project", "change_project", "add_member", "import_prompts")
    ]
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a long secret")
    call_command(*commands[0], "--noinput", "--email", "")
    for words in commands[1:5]:
        call_command(*words)
    project = Project.objects.get(slug="my-project")
    assert (project.slots, project.asks_label, project.review_share) == (4, False, 0.2)
    assert project.guidelines.first().text == "# Be fair"
    password = re.search(r"password: (\S+)", capsys.readouterr().out)[1]
    assert User.objects.get(username="zoe").check_password(password)
    assert project.prompts.count() == 2
    call_command("make_token", "ada", "--project", "my-project", "--reads-only")
    logged = Action.objects.get(kind=Action.Kind.TOKEN_MADE_FOR)
    assert (logged.actor, logged.subject) == (None, "ada")
    assert ApiToken.objects.get().reads_only
    assert capsys.readouterr().out.startswith("laurel_")


@contextmanager
def meanwhile(statement, change):
    """Make the change, as another process would, at the moment before the first such statement."""
    waiting = [change]

    def run(execute, sql, parameters, many, context):
        if statement in sql and waiting:
            waiting.pop()()
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(run):
        yield
    assert not waiting


def test_a_form_that_names_one_setting_changes_that_one(ada, project):
    client, path = signed_in(ada), f"{API}{project.slug}/"
    before = client.get(path).json()
    for number, format in enumerate(("multipart", "json"), start=1):
        sent = {"review_share": number / 4}
        assert client.patch(path, sent, format=format).json() == before | sent
    made = client.post(API, {"slug": "foxes", "name": "Foxes", "axes[0]name": "a", "axes[0]title": "A"})
    assert (made.status_code, made.json()["axes"][0]["title"]) == (201, "A")
    assert made.json()["asks_label"]
    assert made.json()["asks_ratings"]


@pytest.mark.parametrize("door", ["API", "command"])
def test_settings_that_are_not_sent_stay_as_somebody_changes_them_meanwhile(ada, project, a_prompt, door):
    a_prompt()
    rows = Project.objects.filter(pk=project.pk)
    rows.update(axes=[{"name": "a", "title": "A"}])  # without the parts that may be left out
    with meanwhile("FOR NO KEY UPDATE", lambda: rows.update(task_order="breadth")):
        if door == "API":
            sent = signed_in(ada).patch(f"{API}{project.slug}/", {"review_share": 0.5}, format="json")
            assert sent.status_code == 200
        else:
            call_command("change_project", project.slug, "--set=review_share=0.5")
    row = rows.get()
    assert (row.task_order, row.review_share) == ("breadth", 0.5)
    assert [*Action.objects.get(kind=Action.Kind.SETTINGS_CHANGED).details] == ["review_share"]


def test_a_command_that_fails_changes_nothing(project, written):
    with pytest.raises(CommandError, match=r"nowhere\.md: cannot be read"):
        call_command("change_project", project.slug, "--set=review_share=0.5", "--guideline=nowhere.md")
    with pytest.raises(CommandError, match=r"deep\.json: is no JSON"):
        call_command("change_project", project.slug, "--from", str(written("deep.json", "[" * 100_000)))
    assert not Action.objects.filter(kind=Action.Kind.SETTINGS_CHANGED).exists()


def test_every_setting_of_the_page_is_one_of_the_api(ada, project):
    read = signed_in(ada).get(f"{API}{project.slug}/").json()
    assert {*read} == {"slug", *ProjectForm().fields}
    assert read == {name: getattr(project, name) for name in read} | {"axes": read["axes"]}
    assert [axis["name"] for axis in read["axes"]] == [axis.name for axis in project.rating_axes]


def test_a_project_sent_again_is_made_once_and_another_of_its_name_is_refused(ada, eve, project):
    client = signed_in(ada)
    assert client.post(API, NEW, format="json").status_code == 201
    assert client.post(API, NEW, format="json").status_code == 200
    assert client.post(API, NEW | {"slots": 5}, format="json").status_code == 409
    assert client.post(API, NEW | {"guideline": "Be fairer"}, format="json").status_code == 409
    assert Project.objects.filter(slug="foxes").count() == 1
    assert signed_in(eve).post(API, NEW | {"slug": "owls"}, format="json").status_code == 403
    _, secret = issue_token(user=ada, name="one", days=None, now=NOW, project=project)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert client.post(API, NEW | {"slug": "owls"}, format="json").status_code == 403


@pytest.mark.parametrize(
    ("moment", "maker", "status"),
    [
        ("SAVEPOINT", "ada", 200),
        ("SAVEPOINT", "eve", 400),
        ('INSERT INTO "annotation_project"', "ada", 409),  # which the test's one transaction takes back
    ],
)
def test_a_project_sent_twice_at_once_is_made_once(ada, eve, project, moment, maker, status):
    admin = {"ada": ada, "eve": eve}[maker]
    sent = NEW | {"guideline": "Be fair\n"}
    first = NEW | {"guideline": "Be fair"}
    client = signed_in(ada)
    with meanwhile(moment, lambda: create_project(admin=admin, **first)):
        answered = client.post(API, sent, format="json")
    assert answered.status_code == status, answered.json()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("slots", 10, "9"),
        ("slots", "many", "number|integer"),
        ("slots", True, "number|integer"),
        ("asks_label", "perhaps", "true nor false|boolean"),
        ("task_order", "by luck", "by luck"),
        ("review_share", -0.1, "0"),
        ("gold_share", 0.6, "0.5"),
        ("sluts", 5, "no such field"),
        ("name", "", "required|blank"),
    ],
)
def test_a_wrong_setting_is_named_by_both_doors_and_nothing_is_changed(ada, project, name, value, why):
    before = Project.objects.values().get(pk=project.pk)
    refused = signed_in(ada).patch(f"{API}{project.slug}/", {name: value}, format="json")
    assert (refused.status_code, [*refused.json()]) == (400, [name])
    assert re.search(why, refused.json()[name][0])
    assert signed_in(ada).post(API, NEW | {name: value}, format="json").status_code == 400
    assert not Project.objects.filter(slug=NEW["slug"]).exists()
    with pytest.raises(CommandError, match=f"{name}: .*({why})"):
        call_command("change_project", project.slug, f"--set={name}={json.dumps(value)}")
    assert Project.objects.values().get(pk=project.pk) == before


def test_what_answers_depend_on_stays_once_work_is_open(ada, project, a_prompt):
    a_prompt()
    refused = signed_in(ada).patch(f"{API}{project.slug}/", {"slots": 7}, format="json")
    assert (refused.status_code, "slots" in refused.json()["detail"]) == (409, True)
    with pytest.raises(CommandError, match="slots: stays as it is"):
        call_command("change_project", project.slug, "--set=slots=7")


def test_roles_are_given_and_taken_by_admins_and_nobody_takes_their_own(ada, alice, project):
    members = f"{API}{project.slug}/members/"
    client = signed_in(ada)
    assert client.post(members, {"username": "nobody", "role": "annotator"}, format="json").status_code == 400
    again = {"username": "alice", "role": "annotator", "new_account": True}
    assert client.post(members, again, format="json").status_code == 409
    assert client.post(members, {"username": "ada", "role": "inspector"}, format="json").status_code == 409
    assert client.delete(f"{members}{ada.pk}/").status_code == 409
    before = Action.objects.count()
    assert client.post(members, {"username": "alice", "role": "annotator"}, format="json").status_code == 201
    assert Action.objects.count() == before  # she has the role already
    assert [member["username"] for member in client.get(members).json()["results"]] == ["ada", "alice"]
    assert signed_in(alice).get(members).status_code == 404
    assert client.delete(f"{members}{alice.pk}/").status_code == 204


def test_an_import_that_is_called_off_brings_nothing(ada, project, monkeypatch):
    client, uploads = signed_in(ada), f"{API}{project.slug}/uploads/"

    def send():
        file = SimpleUploadedFile("p.txt", b"a fox\nan owl")
        return client.post(uploads, {"material": file}, format="multipart").json()["id"]

    queued, running = send(), send()
    assert client.delete(f"{uploads}{queued}/").json()["state"] == "cancelled"
    assert client.delete(f"{uploads}{queued}/").status_code == 409

    def heartbeat_reads_it(upload, clock):
        beat = real(upload, clock)
        assert client.delete(f"{uploads}{running}/").json()["state"] == "running"
        jobs.heartbeat(beat._row, now=now())
        return beat

    real = worker._Heartbeat
    monkeypatch.setattr(worker, "_Heartbeat", heartbeat_reads_it)
    run_import(Upload.objects.get(pk=running), clock=now)
    assert client.get(f"{uploads}{running}/").json()["state"] == "cancelled"
    assert not Prompt.objects.exists()


def test_a_file_that_failed_is_tried_again_once_what_was_in_its_way_is_mended(ada, project):
    client, uploads = signed_in(ada), f"{API}{project.slug}/uploads/"
    client.patch(f"{API}{project.slug}/", {"longest_prompt": 3}, format="json")
    file = SimpleUploadedFile("p.txt", b"a fox")
    sent = client.post(uploads, {"material": file}, format="multipart").json()["id"]
    run_import(Upload.objects.get(), clock=now)
    assert client.get(f"{uploads}{sent}/").json()["state"] == "failed"
    client.patch(f"{API}{project.slug}/", {"longest_prompt": 300}, format="json")
    assert client.post(f"{uploads}{sent}/retry/").status_code == 202
    assert client.post(f"{uploads}{sent}/retry/").status_code == 409
    run_import(Upload.objects.get(), clock=now)
    assert client.get(f"{uploads}{sent}/").json()["summary"].startswith("1 prompts new")
    assert client.post(f"{uploads}{sent}/retry/").status_code == 409


def test_a_file_of_no_known_format_is_refused_over_the_api(ada, project):
    file = SimpleUploadedFile("p.exe", b"MZ")
    refused = signed_in(ada).post(f"{API}{project.slug}/uploads/", {"material": file}, format="multipart")
    assert (refused.status_code, [*refused.json()]) == (400, ["material"])
    assert not Upload.objects.exists()


def test_known_answers_come_from_a_file_whole_or_not_at_all(ada, alice, a_project, a_prompt, written):
    project = a_project(asks_label=False, asks_ratings=False)
    first, second = (a_prompt(2, project=project, opened=False) for _ in range(2))
    rows = [
        {
            "id": prompt.key,
            "prompt": prompt.text,
            "generations": [image.source for image in prompt.generations.all()],
            "ranking": [2, 1],
        }
        for prompt in (first, second)
    ]

    def given(rows, by="ada"):
        file = written("gold.json", rows)
        call_command("import_references", project.slug, str(file), "--by", by, "--purpose", "gold")

    with pytest.raises(CommandError, match=r"row 2: the project has no prompt 'p2' with this text"):
        given([rows[0], rows[1] | {"prompt": "another"}])
    with pytest.raises(CommandError, match="row 1: alice may give no known answers"):
        given(rows, by="alice")
    assert not Reference.objects.exists()
    given(rows)
    assert {reference.prompt.key for reference in Reference.objects.in_use()} == {first.key, second.key}
    with pytest.raises(CommandError, match="row 1: ada answered 'p1' already"):
        given(rows)
