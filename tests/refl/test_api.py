"""What a program may ask of generators."""

import pytest
from rest_framework.test import APIClient

from annotation.models import Membership
from annotation.services.projects.projects import add_member
from refl.models import SamplingRun, TuningRun


@pytest.fixture
def api(ada):
    client = APIClient()
    client.force_authenticate(ada)
    return client


def at(project, *parts):
    return f"/api/v1/projects/{project.slug}/" + "".join(f"{part}/" for part in parts)


def test_an_admin_reads_generators(api, project, generator):
    (found,) = api.get(at(project, "generators")).json()["results"]
    assert (found["name"], found["kept"], found["tuned_from"]) == ("small", True, None)


def test_a_tuning_is_queued_and_read(api, project, generator, prompts, promoted):
    answer = api.post(at(project, "tunings"), {"config": {"updates": 7}}, format="json")
    assert answer.status_code == 201
    run = TuningRun.objects.get()
    assert (run.config["updates"], run.checkpoint) == (7, promoted)
    assert project.actions.filter(kind="run.requested", actor__isnull=False).count() == 1
    assert [each["id"] for each in api.get(at(project, "tunings")).json()["results"]] == [run.pk]
    run.points.create(step=1, values={"reward": 0.5})
    assert api.get(at(project, "tunings", run.pk)).json()["points"] == [
        {"step": 1, "values": {"reward": 0.5}}
    ]
    path = at(project, "tunings", run.pk)
    assert api.get(f"{path}curves.csv").content == b"step,reward\n1,0.5\n"
    assert api.get(f"{path}curves.json").json() == {"reward": [[1, 0.5]]}
    assert api.get(f"{path}curves.xml").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"generator": "none"}, 400, "has no generator 'none'"),
        ({"checkpoint": "none"}, 400, "has no reward checkpoint 'none'"),
        ({"config": {"updates": 0}}, 409, "must be at least 1"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(api, project, generator, prompts, promoted, asked, status, said):
    answer = api.post(at(project, "tunings"), asked, format="json")
    assert answer.status_code == status
    assert said in answer.content.decode()
    assert not TuningRun.objects.exists()


def test_images_are_queued_and_read(api, project, generator, prompts):
    asked = {"generator": "small", "per_prompt": 2, "prompts": 3}
    answer = api.post(at(project, "samplings"), asked, format="json")
    assert answer.status_code == 201
    run = SamplingRun.objects.get()
    assert (run.steps, run.checkpoint) == (6, None)
    logged = project.actions.get(kind="run.requested")
    assert (logged.actor, logged.subject) == (project.memberships.get(role="admin").user, str(run))
    assert api.get(at(project, "samplings", run.pk)).json()["state"] == "queued"


def test_images_are_queued_once(api, project, generator, prompts):
    asked = {"generator": "small", "per_prompt": 2}
    assert api.post(at(project, "samplings"), asked, format="json").status_code == 201
    assert api.post(at(project, "samplings"), asked, format="json").status_code == 409


def test_nobody_but_an_admin_learns_of_them(project, generator, eve):
    add_member(project=project, user=eve, role=Membership.Role.INSPECTOR)
    client = APIClient()
    client.force_authenticate(eve)
    for name in ("generators", "tunings", "samplings"):
        assert client.get(at(project, name)).status_code == 404
    assert client.post(at(project, "tunings"), {}, format="json").status_code == 404
    assert APIClient().get(at(project, "generators")).status_code in (401, 403)
