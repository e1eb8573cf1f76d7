"""The loop's page, its endpoints, and what Home shows of it: who sees what, and what pressing does."""

import pytest
from django.urls import reverse
from django.utils.timezone import now
from rest_framework.test import APIClient

from annotation.models import Membership
from annotation.services.projects.projects import add_member
from annotation.statistics.estimates import Estimate
from refl.loop.queue import start_step
from refl.loop.steps import STEPS
from refl.models import SamplingRun
from refl.services.generators import record_judge, register_generator
from refl.services.study_tending import tend_studies
from rewardmodel.models import DatasetVersion, Evaluation, RewardCheckpoint, TrainingRun
from rewardmodel.runs import states
from rewardmodel.selectors import accuracy_forecast
from tests.refl.asked_studies import answer_study, asked_study
from tests.refl.loop.conftest import METRICS

HTMX = {"HX-Request": "true"}


@pytest.fixture
def page(client, ada):
    client.force_login(ada)
    return client


@pytest.fixture
def api(ada):
    client = APIClient()
    client.force_authenticate(ada)
    return client


def address(project, name="loop", *arguments):
    return reverse(name, args=[project.slug, *arguments])


def endpoint(project, *parts):
    return f"/api/v1/projects/{project.slug}/loop/" + "".join(f"{part}/" for part in parts)


def test_a_project_with_nothing_says_what_comes_first(page, project):
    answer = page.get(address(project))
    assert answer.status_code == 200
    assert "Make images waits for a generator: manage.py register_generator" in answer.text
    assert "Nothing ran yet" in answer.text
    assert [card.step.key for card in answer.context["cards"]] == list(STEPS)


def test_a_round_is_told_with_its_pictures_figures_and_reasons(page, project, round_over, a_prompt):
    a_prompt()
    answer = page.get(address(project))
    assert f"{round_over.run.checkpoint} was promoted" in answer.text
    assert f"{round_over} kept: shipped +0.400 (+0.200 to +0.600)" in answer.text
    assert "a fox, take 1" in answer.text
    assert [pair.prompt for pair in answer.context["pairs"]] == ["a red fox w", "a red fox x", "a red fox y"]
    assert answer.context["history"][0].name == str(round_over.run)
    assert answer.context["accuracy"]["series"][0]["points"] == [(1, 0.728)]
    assert answer.context["rewards"]["series"] == [{"name": "shipped", "points": [(0, 0.1), (1, 0.5)]}]


def test_studies_and_other_judges_are_drawn_over_generators_with_their_intervals(
    page, project, generator, round_over, pipeline, ada
):
    assert page.get(address(project)).context["win_rates"]["series"] == []
    by_hand = register_generator(project=project, name="by hand", pipeline=pipeline, steps=2)
    studied = asked_study(project, [generator, by_hand], captions=3)
    answer_study(studied, ada, [by_hand, generator], tasks=2)
    tend_studies(now=now())
    record_judge(round_over, judge="oracle", win_rate=Estimate(0.7, 0.6, 0.8, 40, 20))
    answer = page.get(address(project))
    chart = answer.context["win_rates"]
    people, oracle = chart["series"]
    assert chart["names"] == [f"{round_over} against {generator}", f"by hand against {generator}"]
    assert (people["name"], people["points"]) == ("people", [(1, 1.0)])
    assert people["band"][0][1] < 0.5 < people["band"][0][2] == 1.0
    assert (oracle["name"], oracle["points"], oracle["band"]) == ("oracle", [(0, 0.7)], [(0, 0.6, 0.8)])
    assert 'class="interval series-1"' in answer.text
    assert page.get(address(project, "loop-outcomes"), {"seen": answer.context["version"]}).status_code == 204
    answer_study(studied, ada, [by_hand, generator])
    tend_studies(now=now())
    assert page.get(address(project, "loop-outcomes"), {"seen": answer.context["version"]}).status_code == 200


def test_trainings_on_parts_of_the_rankings_are_no_versions_and_tell_what_more_would_bring(
    page, project, round_over
):
    whole = round_over.run.checkpoint.run
    DatasetVersion.objects.update(
        counts={split: {"rankings": 240, "pairs": 9} for split in ("train", "test")}
    )
    for share, accuracy in ((1.0, 0.728), (0.25, 0.65), (0.5, 0.7)):
        run = whole
        if share < 1:
            config = {"train_share": share}
            run = TrainingRun.objects.create(
                project=project, dataset=whole.dataset, initial=whole.initial, config=config
            )
            RewardCheckpoint.objects.create(project=project, name=f"part {share}", run=run, metrics=METRICS)
        Evaluation.objects.create(
            project=project,
            checkpoint=run.checkpoint,
            dataset=run.dataset,
            split="test",
            figures={"accuracy": {"value": accuracy}},
        )
    answer = page.get(address(project))
    assert answer.context["accuracy"]["series"][0]["points"] == [(1, 0.728)]
    ahead = accuracy_forecast(project).more[480]
    assert f"480 more rankings: {100 * ahead.value:.1f} %" in answer.text


def test_the_page_asks_for_its_steps_again_and_for_pictures_only_where_they_are_new(
    page, project, round_over, a_prompt, django_assert_max_num_queries
):
    a_prompt()
    with django_assert_max_num_queries(29):
        live = page.get(address(project), headers=HTMX).text
    assert "<html" not in live
    assert 'hx-trigger="every 10s"' in live
    assert 'hx-swap-oob="true"' in live
    version = page.get(address(project)).context["version"]
    outcomes = address(project, "loop-outcomes")
    assert page.get(outcomes, {"seen": version}).status_code == 204
    a_prompt()
    again = page.get(outcomes, {"seen": version})
    assert again.status_code == 200
    assert "a fox, take 2" in again.text


def test_an_admin_starts_cancels_and_repeats_a_step(page, ada, project, generator, prompts):
    started = page.post(address(project, "start-step", "sample"), follow=True)
    run = SamplingRun.objects.get()
    assert started.redirect_chain[-1][0].endswith("/loop/#sample")
    assert f"{generator} makes 144 images." in started.text
    assert (run.state, run.requested_by) == ("queued", ada)
    again = page.post(address(project, "start-step", "sample"))
    assert again.status_code == 409
    assert f"{run} is under way already" in again.text
    assert "is cancelled." in page.post(address(project, "cancel-step", "sample"), follow=True).text
    late = page.post(address(project, "cancel-step", "sample"))
    assert late.status_code == 422
    assert "is cancelled already" in late.text
    page.post(address(project, "repeat-step", "sample"))
    assert SamplingRun.objects.count() == 2


def test_a_step_started_too_early_says_on_the_page_what_is_missing(page, project):
    refused = page.post(address(project, "start-step", "tune"))
    assert refused.status_code == 422
    assert "no generator is kept; register one" in refused.text
    assert page.post(address(project, "start-step", "nothing")).status_code == 404


@pytest.mark.parametrize("role", [Membership.Role.ANNOTATOR, Membership.Role.INSPECTOR, None])
def test_nobody_who_is_to_be_blind_learns_that_there_is_a_loop(client, eve, project, round_over, role):
    if role:
        add_member(project=project, user=eve, role=role)
    client.force_login(eve)
    assert client.get(address(project)).status_code == 404
    assert client.get(address(project, "loop-outcomes")).status_code == 404
    assert client.post(address(project, "start-step", "sample")).status_code == 404
    home = client.get("/").text
    assert "panel" not in home
    assert str(round_over) not in home


def test_a_researcher_looks_and_does_not_touch(client, rosa, project, round_over):
    client.force_login(rosa)
    answer = client.get(address(project))
    assert answer.status_code == 200
    assert '<button class="button small' not in answer.text
    assert "tunings/" not in answer.text
    assert "before-after>" not in answer.text
    for action in ("start-step", "repeat-step", "cancel-step"):
        assert client.post(address(project, action, "sample")).status_code == 404


def test_home_shows_admins_where_each_loop_stands_with_its_newest_images(
    page, project, a_project, round_over, a_prompt, django_assert_max_num_queries
):
    a_prompt()
    home = page.get("/")
    assert "Annotate: 1 opinion open (3 of 4)." in home.text
    assert home.text.count("/small") == 6
    assert address(project) in home.text
    alone = 26
    with django_assert_max_num_queries(alone):
        page.get("/")
    for _ in range(3):
        a_project()
    with django_assert_max_num_queries(alone + 3):  # of each further project, what there is to inspect
        page.get("/")


def test_a_program_reads_the_loop(api, project, generator, prompts, ada):
    run = start_step(project, "sample", by=ada).run
    loop = api.get(endpoint(project)).json()
    assert loop["headline"].startswith("Make images: waits for a worker (0 of 144). Then: annotate")
    assert [step["step"] for step in loop["steps"]] == list(STEPS)
    first = loop["steps"][0]
    assert (first["state"], first["progress"]) == ("running", [0, 144])
    assert (first["run"], first["because"]) == (str(run), "asked for by ada")
    assert loop["steps"][1]["waits_for"] == ["images to judge"]


def test_a_program_starts_cancels_and_repeats_a_step(api, project, generator, prompts):
    answer = api.post(endpoint(project, "sample", "start"))
    run = SamplingRun.objects.get()
    assert (answer.status_code, answer.json()["run"]) == (201, str(run))
    busy = api.post(endpoint(project, "sample", "start"))
    assert (busy.status_code, busy.json()["detail"]) == (409, f"Make images: {run} is under way already")
    assert api.post(endpoint(project, "sample", "cancel")).json()["sentence"].endswith("is cancelled.")
    assert api.post(endpoint(project, "sample", "cancel")).status_code == 409
    assert api.post(endpoint(project, "sample", "repeat")).status_code == 201
    assert api.post(endpoint(project, "train", "start")).status_code == 409
    assert "there are sample, annotate" in api.post(endpoint(project, "nap", "start")).json()["detail"]


def test_a_program_of_somebody_else_learns_nothing(project, eve, rita):
    for person in (eve, rita):
        client = APIClient()
        client.force_authenticate(person)
        assert client.get(endpoint(project)).status_code == 404
        assert client.post(endpoint(project, "sample", "start")).status_code == 404


def test_a_failed_step_is_marked_and_tried_again(page, project, generator, prompts, ada):
    run = start_step(project, "sample", by=ada).run
    states.claim(run, now=now())
    states.fail(run, error="OutOfMemory: the device is full", now=now())
    shown = page.get(address(project)).text
    assert "OutOfMemory: the device is full" in shown
    assert "Try again" in shown
    page.post(address(project, "repeat-step", "sample"))
    run.refresh_from_db()
    assert run.state == "queued"
