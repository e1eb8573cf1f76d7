"""Pages and endpoints about models: admins of the project see and do, for everybody else there is nothing."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils.timezone import now

from rewardmodel.management.rows import describe_checkpoint
from rewardmodel.models import DatasetVersion, EvaluationRun, RewardCheckpoint, TrainingPoint, TrainingRun
from rewardmodel.runs import states
from rewardmodel.services.checkpoints import promote
from rewardmodel.services.promotions import decide
from rewardmodel.tasks import supervise_run

State = TrainingRun.State
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def run(project, encoder):
    counts = {
        split: {"rankings": 4, "pairs": 12, "ties": 1, "prompts": 4, "images": 12}
        for split in ("train", "test")
    }
    dataset = DatasetVersion.objects.create(
        project=project, hash="ab" * 32, folder="frozen", counts=counts, shares={}, answers=9, left_out=1
    )
    run = TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder, config={"epochs": 3})
    for step in (1, 2, 3):
        TrainingPoint.objects.create(run=run, step=step, values={"loss": 0.7 / step, "accuracy": 0.5})
    return run


@pytest.fixture
def made(run):
    """What the run made."""
    figures = {
        "accuracy": 0.625,
        "accuracy_by_prompt": 0.6,
        "interval": [0.58, 0.66],
        "pairs": 1234,
        "prompts": 40,
    }
    rival = {"id": run.initial_id, "name": "encoder", **figures, "accuracy": 0.551}
    rival |= {"difference": 0.074, "difference_interval": [-0.01, 0.158]}
    metrics = {**figures, "dataset": run.dataset.hash, "ceiling": 0.81, "beside": [rival]}
    return RewardCheckpoint.objects.create(project=run.project, name="reward-1", run=run, metrics=metrics)


@pytest.fixture
def admin(client, ada):
    client.force_login(ada)
    return client


def paths(run, checkpoint):
    slug = run.project.slug
    return [
        ("get", reverse("project-models", args=[slug])),
        ("get", reverse("training-run", args=[slug, run.pk])),
        ("post", reverse("train-now", args=[slug])),
        ("post", reverse("cancel-training-run", args=[slug, run.pk])),
        ("post", reverse("retry-training-run", args=[slug, run.pk])),
        ("post", reverse("promote-checkpoint", args=[slug, checkpoint.pk])),
        ("post", reverse("measure-waiting-checkpoint", args=[slug, checkpoint.pk])),
        ("post", reverse("change-promotion-rule", args=[slug])),
        ("get", reverse("api-datasets", args=[slug])),
        ("get", reverse("api-promotion", args=[slug])),
        ("patch", reverse("api-promotion", args=[slug])),
        ("get", reverse("api-checkpoints", args=[slug])),
        ("get", reverse("api-training-runs", args=[slug])),
        ("post", reverse("api-training-runs", args=[slug])),
        ("get", reverse("api-training-run", args=[slug, run.pk])),
    ]


@pytest.mark.parametrize("who", ["alice", "rita", "eve"])
def test_for_everybody_but_admins_there_is_nothing(client, request, run, made, who):
    client.force_login(request.getfixturevalue(who))
    for method, path in [*paths(run, made), ("get", reverse("models"))]:
        assert getattr(client, method)(path).status_code == 404, path
    assert TrainingRun.objects.get().state == State.QUEUED
    assert not RewardCheckpoint.objects.filter(promoted=True).exists()


def test_an_admin_of_another_project_finds_nothing_here(client, a_project, eve, run, made):
    other = a_project()
    other.memberships.update(user=eve)
    client.force_login(eve)
    for method, path in paths(run, made):
        assert getattr(client, method)(path).status_code == 404, path
    mixed = reverse("training-run", args=[other.slug, run.pk])
    assert client.get(mixed).status_code == 404


def test_who_is_not_signed_in_is_asked_to_sign_in(client, run):
    response = client.get(reverse("training-run", args=[run.project.slug, run.pk]))
    assert (response.status_code, response.url.split("?")[0]) == (302, reverse("sign-in"))


def test_forms_without_their_token_are_refused(run, made, ada):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    for method, path in paths(run, made)[2:8]:
        assert getattr(strict, method)(path).status_code == 403, path


def test_the_project_page_shows_models_runs_and_datasets(admin, project, run, made):
    page = admin.get(reverse("project-models", args=[project.slug])).content.decode()
    for words in (
        "reward-1",
        "62.5 %",
        "58.0 to 66.0",
        "1,234",
        "+7.4",
        "81.0 %",
        "Queued",
        run.dataset.hash[:12],
    ):
        assert words in page, words


def test_somebody_who_is_admin_of_one_project_goes_straight_to_it(admin, project):
    response = admin.get(reverse("models"))
    assert response.url == reverse("project-models", args=[project.slug])


def test_somebody_who_is_admin_of_two_chooses(admin, project, a_project, made):
    promote(made, now=now())
    a_project()
    page = admin.get(reverse("models")).content.decode()
    assert "reward-1" in page
    assert "none yet" in page


def test_a_run_at_work_asks_for_news_and_one_that_is_over_does_not(admin, project, run):
    path = reverse("training-run", args=[project.slug, run.pk])
    live = admin.get(path, **HTMX).content.decode()
    assert "<html" not in live
    assert 'hx-trigger="every 2s"' in live
    assert "<b>0.233</b>" in live  # the newest loss, beside its curve
    states.cancel(run, now=now())
    assert "hx-trigger" not in admin.get(path, **HTMX).content.decode()


def test_the_error_and_the_log_of_a_failed_run_are_shown(admin, project, run):
    states.claim(run, now=now())
    states.fail(run, error="no space left on device", now=now())
    run.folder.mkdir(parents=True)
    run.log.write_text("step 3 of 9 <b>")
    page = admin.get(reverse("training-run", args=[project.slug, run.pk])).content.decode()
    assert "no space left on device" in page
    assert "step 3 of 9 &lt;b&gt;" in page
    assert "Try again" in page


def test_cancelling_from_the_page_ends_a_queued_run(admin, project, run):
    response = admin.post(reverse("cancel-training-run", args=[project.slug, run.pk]))
    assert response.url == reverse("training-run", args=[project.slug, run.pk])
    assert TrainingRun.objects.get().state == State.CANCELLED


def test_cancelling_a_run_that_ended_meanwhile_shows_how_it_stands(admin, project, run):
    states.claim(run, now=now())
    states.finish(run, now=now())
    response = admin.post(reverse("cancel-training-run", args=[project.slug, run.pk]))
    assert response.status_code == 409
    assert "had moved on" in response.content.decode()
    assert TrainingRun.objects.get().state == State.FINISHED


def test_training_now_without_answers_says_why_not(admin, project, encoder):
    response = admin.post(reverse("train-now", args=[project.slug]))
    assert response.status_code == 422
    assert "none of 0 finished rankings" in response.content.decode()
    assert not TrainingRun.objects.exists()


def test_training_now_queues_a_run_of_what_is_finished(admin, project, encoder, rank):
    rank(13)
    response = admin.post(reverse("train-now", args=[project.slug]))
    run = TrainingRun.objects.get()
    assert response.url == reverse("training-run", args=[project.slug, run.pk])
    assert (run.state, run.dataset.answers) == (State.QUEUED, 13)
    logged = project.actions.get(kind="run.requested")
    assert (logged.actor, logged.subject) == (project.memberships.get(role="admin").user, str(run))


def test_promoting_takes_the_place_of_the_one_before(admin, project, encoder, made):
    promote(encoder, now=now())
    admin.post(reverse("promote-checkpoint", args=[project.slug, made.pk]))
    assert RewardCheckpoint.objects.get(promoted=True) == made
    promotions = project.actions.filter(kind="checkpoint.promoted").order_by("pk")
    assert [(one.actor_id is None, one.subject) for one in promotions] == [
        (True, encoder.name),
        (False, made.name),
    ]


def test_pages_the_api_and_the_command_say_how_sure_a_promotion_is(admin, project, a_model):
    decide(a_model(0.1, 0.99), now=now())
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=now())
    words = f"94 % likely better than {model.decision['over']}, on 162 test pairs"
    wants = "waits for about 182, that is 338 rankings: 95 % on 100 pairs or more are wanted"
    home = reverse("project-models", args=[project.slug])
    of_run, of_model = (
        reverse(name, args=[project.slug, pk])
        for name, pk in (("training-run", model.run_id), ("checkpoint", model.pk))
    )
    for page in (home, of_run, of_model):
        text = admin.get(page).text
        assert f"{words}; {wants}" in text, page
        assert "waits for more pairs" in text, page
    assert "more accurate, no more" in admin.get(home).text
    listed = admin.get(reverse("api-checkpoints", args=[project.slug])).json()["results"][0]
    assert (listed["verdict"], listed["decision"]["waits_for"]) == ("waiting", 182)
    assert f"not promoted ({words}; {wants})" in describe_checkpoint(model)
    admin.post(reverse("promote-checkpoint", args=[project.slug, model.pk]))
    assert f"promoted by hand</span> {words}" in admin.get(home).text
    model.refresh_from_db()
    assert f"promoted (by hand; {words})" in describe_checkpoint(model)


def test_an_admin_sets_how_sure_a_promotion_has_to_be(admin, project, made):
    path, home = (reverse(name, args=[project.slug]) for name in ("change-promotion-rule", "project-models"))
    assert admin.post(path, {"probability": "0.9", "pairs": "50"}).url == home
    assert 'value="0.9"' in admin.get(home).text
    refused = admin.post(path, {"probability": "2", "pairs": "50"})
    assert (refused.status_code, "less than or equal to 0.999" in refused.text) == (422, True)
    api = reverse("api-promotion", args=[project.slug])
    assert admin.get(api).json() == {"probability": 0.9, "pairs": 50}
    changed = admin.patch(api, {"probability": 0.99}, "application/json")
    assert changed.json() == {"probability": 0.99, "pairs": 50}
    for wrong in ({"pairs": 0}, {"pairs": 10**10}, {"probability": "nan"}, {"probability": 2}):
        refused = admin.patch(api, wrong, "application/json")
        assert (refused.status_code, list(refused.json())) == (400, list(wrong))
    assert project.actions.filter(kind="settings.changed").count() == 2


def test_a_changed_rule_that_promotes_says_that_images_have_no_scores(admin, project, a_model):
    decide(a_model(0.1, 0.99), now=now())
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=now())
    path = reverse("change-promotion-rule", args=[project.slug])
    said = f"{model} is promoted by it; images have no scores of it before score_images {project.slug}."
    assert said not in admin.post(path, {"probability": "0.95", "pairs": "90"}, follow=True).text
    assert said in admin.post(path, {"probability": "0.9", "pairs": "90"}, follow=True).text


def test_measuring_what_waits_again_needs_more_test_pairs(admin, project, a_model, rank):
    decide(a_model(0.1, 0.99), now=now())
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    path = reverse("measure-waiting-checkpoint", args=[project.slug, model.pk])
    assert admin.post(path).status_code == 404  # it does not wait
    decide(model, now=now())
    assert "has all its images" in admin.post(path).text
    model.run.dataset.shares = {"train": 0.2, "validation": 0.2, "test": 0.6}
    model.run.dataset.save()
    rank(6)
    refused = admin.post(path)
    assert (refused.status_code, "waits for more test pairs than the 162" in refused.text) == (422, True)
    RewardCheckpoint.objects.filter(pk=model.pk).update(decision=model.decision | {"pairs": 2})
    queued = admin.post(path)
    run = EvaluationRun.objects.get()
    assert queued.url == reverse("evaluation-run", args=[project.slug, run.pk])


def test_the_api_tells_of_runs_with_their_curves(admin, project, run, made):
    found = admin.get(reverse("api-training-run", args=[project.slug, run.pk])).json()
    assert found["points"][1] == {"step": 2, "values": {"loss": 0.35, "accuracy": 0.5}}
    curves = admin.get(
        reverse("api-training-run-curves", args=[project.slug, run.pk, "csv"])
    ).content.decode()
    assert curves.splitlines()[2].startswith("2,0.35,")
    page = reverse("curves-of-training-run", args=[project.slug, run.pk, "csv"])
    assert admin.get(page).content.decode() == curves
    [listed] = admin.get(reverse("api-training-runs", args=[project.slug])).json()["results"]
    assert (listed["state"], listed["dataset"]) == ("queued", run.dataset.hash)
    models = admin.get(reverse("api-checkpoints", args=[project.slug])).json()["results"]
    assert [model["name"] for model in models] == ["reward-1", "encoder"]
    [dataset] = admin.get(reverse("api-datasets", args=[project.slug])).json()["results"]
    assert dataset["counts"]["train"]["pairs"] == 12


def test_the_api_queues_a_run_and_refuses_what_cannot_work(admin, project, encoder, rank):
    path = reverse("api-training-runs", args=[project.slug])
    assert admin.post(path, {}, "application/json").status_code == 409
    rank(13)
    unknown = admin.post(path, {"initial": "nope"}, "application/json")
    assert (unknown.status_code, "nope" in unknown.content.decode()) == (400, True)
    assert admin.post(path, {"config": {"epocs": 2}}, "application/json").status_code == 409
    made = admin.post(path, {"config": {"epochs": 2}}, "application/json")
    assert (made.status_code, made.json()["config"]["epochs"]) == (201, 2)
    assert TrainingRun.objects.get().initial == encoder


def test_a_message_for_a_run_that_is_over_does_nothing(run):
    states.cancel(run, now=now())
    supervise_run(run._meta.label, run.pk)
    assert TrainingRun.objects.get().attempt == 0


def test_a_run_that_fell_silent_is_said_to_be(admin, run, settings):
    states.claim(run, now=now())
    path = reverse("training-run", args=[run.project.slug, run.pk])
    assert "no sign of life" not in admin.get(path).text
    gone = now() - timedelta(seconds=settings.RUN_SILENCE_SECONDS + 1)
    TrainingRun.objects.filter(pk=run.pk).update(heartbeat=gone)
    assert "no sign of life" in admin.get(path).text


def test_a_run_leads_to_its_dataset_and_to_what_it_starts_from_and_that_to_its_run(admin, run, made):
    later = TrainingRun.objects.create(project=run.project, dataset=run.dataset, initial=made)
    page = admin.get(reverse("training-run", args=[run.project.slug, later.pk])).text
    assert f'href="{made.get_absolute_url()}"' in page
    its_run = reverse("training-run", args=[run.project.slug, run.pk])
    assert f'href="{its_run}"' in admin.get(made.get_absolute_url()).text
    home = reverse("project-models", args=[run.project.slug])
    assert f'href="{home}#dataset-{run.dataset}"' in page
    models = admin.get(home).text
    assert f'id="dataset-{run.dataset}"' in models
    assert models.index("<td>train</td>") < models.index("<td>test</td>")


def test_a_run_says_at_which_step_the_model_that_it_keeps_was(admin, run):
    for step, loss in ((10, 0.64), (20, 0.6), (30, 0.62)):
        TrainingPoint.objects.create(run=run, step=step, values={"validation_loss": loss})
    page = admin.get(reverse("training-run", args=[run.project.slug, run.pk])).text
    assert "0.600 at step 20, kept" in page
