"""The demo project: made once, complete, and found as it was left."""

import json

import pytest
from django.core.management import call_command

from annotation.models import Action, Membership, Project, User
from demo.seeding import (
    CREDENTIALS,
    FIRST_PROMPTS,
    HASTY,
    IMAGES_PER_PROMPT,
    PROMPTS,
    SHIPPED,
    SLUG,
    paused,
    seed_demo,
)
from demo.world.captions import Split, split_of
from refl.models import Generator, SamplingRun, TuningPolicy
from refl.selectors.generators import newest_kept
from rewardmodel.models import RewardCheckpoint, TrainingPolicy

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_credentials():
    CREDENTIALS.unlink(missing_ok=True)


def test_everything_a_round_needs_is_there(capsys):
    call_command("seed_demo")
    project = Project.objects.get(slug=SLUG)
    assert project.prompts.count() == PROMPTS
    assert RewardCheckpoint.objects.get(project=project).promoted
    shipped = newest_kept(project)
    assert shipped.name == SHIPPED
    assert (shipped.pairs / "pairs.jsonl").is_file()
    assert TrainingPolicy.objects.get(project=project).enabled
    assert TuningPolicy.objects.get(project=project).enabled
    first = SamplingRun.objects.get(project=project)
    assert first.steps == FIRST_PROMPTS * IMAGES_PER_PROMPT
    assert first.generator == shipped
    assert first.config["beside"] == [Generator.objects.get(project=project, name=HASTY).pk]
    assert f"{PROMPTS} prompts" in capsys.readouterr().out


def test_its_prompts_are_kept_apart_from_those_the_generator_and_the_oracle_know():
    project = seed_demo()
    assert {split_of(text) for text in project.prompts.values_list("text", flat=True)} == {Split.RANKING}


def test_everybody_can_sign_in_with_the_password_that_was_kept(client):
    project = seed_demo()
    passwords = json.loads(CREDENTIALS.read_text())
    assert CREDENTIALS.stat().st_mode & 0o077 == 0
    assert set(passwords) == set(User.objects.values_list("username", flat=True))
    assert all(client.login(username=name, password=password) for name, password in passwords.items())
    roles = dict(Membership.objects.filter(project=project).values_list("user__username", "role"))
    assert (roles["admin"], roles["rita"], roles["alice"]) == ("admin", "inspector", "annotator")


def test_seeding_again_changes_nothing():
    seed_demo()
    before = CREDENTIALS.read_text(), SamplingRun.objects.count(), User.objects.count()
    Project.objects.filter(slug=SLUG).update(name="Renamed")
    Membership.objects.filter(user__username="bob").update(role="inspector")
    actions = Action.objects.count()
    assert seed_demo().name == "Renamed"
    assert (CREDENTIALS.read_text(), SamplingRun.objects.count(), User.objects.count()) == before
    assert Membership.objects.get(user__username="bob").role == "inspector"
    assert Action.objects.count() == actions


def test_a_paused_project_goes_on_as_it_was():
    project = seed_demo()
    TuningPolicy.objects.filter(project=project).update(enabled=False)
    with paused(project):
        assert not TrainingPolicy.objects.get(project=project).enabled
    assert TrainingPolicy.objects.get(project=project).enabled
    assert not TuningPolicy.objects.get(project=project).enabled
