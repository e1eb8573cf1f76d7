"""A training run watched in a real browser."""

import re

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import expect

from annotation import jobs
from rewardmodel.models import DatasetVersion, RewardCheckpoint, TrainingRun
from rewardmodel.runs import states
from rewardmodel.services.evaluations import record_figures
from tests.accessibility import complaints
from tests.rewardmodel.test_evaluations import figures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(project, encoder):
    dataset = DatasetVersion.objects.create(
        project=project, hash="ab" * 32, folder="frozen", counts={}, shares={}, answers=0, left_out=0
    )
    run = TrainingRun.objects.create(project=project, dataset=dataset, initial=encoder, config={"epochs": 3})
    states.claim(run, now=now())
    return run


def measure(run, steps):
    points = {
        step: {"loss": 0.7 / step, "accuracy": 0.5 + step / 200, "validation_loss": 0.8 / step}
        for step in range(1, steps + 1)
    }
    states.record_progress(run, now=now(), step=steps, steps=60, points=points, peak_memory=2**29)


def signed_in(page, live_server, user):
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
    return page


def test_curves_grow_while_a_run_works_and_cancelling_says_that_it_stops(live_server, page, ada, run):
    measure(run, 10)
    page = signed_in(page, live_server, ada)
    page.goto(live_server.url + reverse("training-run", args=[run.project.slug, run.pk]))
    expect(page.get_by_text("10 of 60")).to_be_visible()
    expect(page.get_by_role("img", name="(raw 0.070) at step 10, validation 0.080")).to_be_visible()
    measure(run, 25)
    expect(page.get_by_text("25 of 60")).to_be_visible()
    expect(page.get_by_role("img", name="(raw 0.028) at step 25, validation 0.032")).to_be_visible()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.get_by_text("stops after this step")).to_be_visible()
    jobs.release(run, now=now())
    expect(page.get_by_text("Cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel run")).to_have_count(0)


def test_a_curve_is_read_by_pointer_and_by_keys_while_its_run_goes_on(live_server, page, ada, run):
    measure(run, 10)
    page = signed_in(page, live_server, ada)
    page.goto(live_server.url + reverse("training-run", args=[run.project.slug, run.pk]))
    reader = page.get_by_role("slider", name="Loss, nats a pair")
    tip = reader.locator(".tip")
    expect(tip).to_be_hidden()

    box = reader.bounding_box()
    reader.hover(position={"x": box["width"] / 3, "y": box["height"] / 2})
    expect(tip).to_contain_text("step 4")
    expect(tip).to_contain_text("(raw 0.175)")
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()

    reader.press("Home")
    reader.press("ArrowRight")
    expect(reader).to_have_attribute(
        "aria-valuetext", re.compile(r"step 2, training .*raw 0.350.*validation 0.400")
    )
    measure(run, 25)
    expect(page.get_by_text("25 of 60")).to_be_visible()
    expect(reader).to_be_focused()
    expect(tip).to_contain_text("step 2")
    reader.press("ArrowRight")
    expect(tip).to_contain_text("step 3")
    reader.press("Escape")
    expect(tip).to_be_hidden()


def test_what_was_opened_focused_or_scrolled_stays_so_while_a_run_works(live_server, page, ada, run):
    measure(run, 10)
    files = {"ab/cd.png": "truncated"}
    TrainingRun.objects.filter(pk=run.pk).update(report={"unreadable": 1, "unreadable_files": files})
    page = signed_in(page, live_server, ada)
    page.goto(live_server.url + reverse("training-run", args=[run.project.slug, run.pk]))
    page.get_by_text("Unreadable images").click()
    page.get_by_role("button", name="Cancel run").focus()
    measure(run, 25)
    expect(page.get_by_text("25 of 60")).to_be_visible()
    expect(page.get_by_text("ab/cd.png: truncated")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel run")).to_be_focused()

    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(live_server.url + reverse("project-models", args=[run.project.slug]))
    page.get_by_role("link", name=f"Training run {run.pk}").focus()
    table = page.get_by_role("region", name="Runs")
    table.evaluate("table => (table.scrollLeft = 120)")
    measure(run, 30)
    expect(table.get_by_text("30 of 60")).to_be_attached()
    expect(page.get_by_role("link", name=f"Training run {run.pk}")).to_be_focused()
    assert table.evaluate("table => table.scrollLeft") == 120


def test_no_page_has_anything_serious_or_is_wider_than_the_window(live_server, page, ada, run, encoder):
    measure(run, 30)
    measured = record_figures(encoder, dataset=run.dataset, split="test", figures=figures())
    record_figures("CLIP", dataset=run.dataset, split="test", figures=figures(0.55))
    page, slug, found = signed_in(page, live_server, ada), run.project.slug, []
    for address in (
        reverse("models"),
        reverse("project-models", args=[slug]),
        reverse("training-run", args=[slug, run.pk]),
        reverse("selections", args=[slug]),
        reverse("evaluations", args=[slug]),
        reverse("evaluation", args=[slug, measured.pk]),
    ):
        page.goto(live_server.url + address)
        found += complaints(page, address)
    jobs.move(run, run.State.FAILED, finished_at=now(), error="the loss is nan at step 31, list 7719")
    run_page = reverse("training-run", args=[slug, run.pk])
    page.goto(live_server.url + run_page)
    found += complaints(page, "failed")
    rival = {"id": 1, "name": "encoder", "accuracy": 0.55, "difference": 0.1}
    metrics = {"accuracy": 0.65, "interval": [0.62, 0.68], "pairs": 900, "ceiling": 0.77}
    metrics |= {"beside": [{**rival, "difference_interval": [0.05, 0.15]}]}
    RewardCheckpoint.objects.create(project=run.project, name="reward-1", run=run, metrics=metrics)
    report = {"trainable": 5, "parameters": 9, "images": 40, "unreadable": 1, "dropped": {"train": 1}}
    TrainingRun.objects.filter(pk=run.pk).update(state="finished", error="", report=report)
    page.goto(live_server.url + run_page)
    found += complaints(page, "finished")
    page.goto(live_server.url + reverse("project-models", args=[slug]))
    found += complaints(page, "models that were made")
    assert not found, "\n".join(found)
