"""What admins see of generators, and that nobody else does."""

import dataclasses
import io
import json

import pytest
from django.urls import reverse
from django.utils.timezone import now
from PIL import Image

from annotation.models import Membership
from annotation.services.projects.projects import add_member
from refl.learning.looks import Alarm, Change, Look, write_looks
from refl.learning.outcomes import Outcome
from refl.learning.sampling import grid
from refl.models import SamplingRun, TuningRun
from refl.services.generators import (
    keep_if_sound,
    register_generator,
    register_tuned,
    set_unimproved_aside,
)
from refl.services.tuning import queue_tuning
from rewardmodel.runs import states
from tests.refl.test_generators import FALL, RISE

HTMX = {"HX-Request": "true"}


@pytest.fixture
def run(project, generator, prompts, promoted, policy):
    return queue_tuning(project=project)


@pytest.fixture
def at_work(run):
    """A tuning in the middle, with its first samples."""
    states.claim(run, now=now())
    points = {step: {"reward": 0.1 * step, "reward_loss": 2.0, "pretraining_loss": 1.0} for step in (1, 2)}
    states.record_progress(run, now=now(), step=2, steps=3, points=points)
    (run.folder / "samples").mkdir(parents=True)
    (run.folder / "samples" / "step-000000.png").write_bytes(b"the grid before")
    run.log.write_text("Loading pipeline")
    return run


def pages(project, run):
    return [
        reverse("project-generators", args=[project.slug]),
        reverse("tuning-run", args=[project.slug, run.pk]),
        reverse("sample-grid", args=[project.slug, run.pk, 0]),
    ]


def test_an_admin_sees_every_page(client, ada, project, at_work):
    client.force_login(ada)
    assert [client.get(page).status_code for page in pages(project, at_work)] == [200, 200, 200]


def test_runs_of_two_kinds_share_a_table_with_a_cell_below_each_heading(
    client, ada, project, generator, prompts, promoted, at_work
):
    client.force_login(ada)
    asked = {"generator": generator.pk, "prompts": 3, "per_prompt": 2}
    client.post(reverse("generate-images", args=[project.slug]), asked)
    page = client.get(reverse("project-generators", args=[project.slug])).text
    head, *rows = page[page.index('id="runs"') :].partition("</table>")[0].split("<tr")[1:]
    assert "Best candidates by" in head
    assert [row.count("<td") + row.count("<th") for row in rows] == [head.count("<th")] * 2


@pytest.mark.parametrize("role", [Membership.Role.ANNOTATOR, Membership.Role.INSPECTOR, None])
def test_nobody_else_learns_that_they_exist(client, eve, project, at_work, role):
    if role:
        add_member(project=project, user=eve, role=role)
    client.force_login(eve)
    assert [client.get(page).status_code for page in pages(project, at_work)] == [404, 404, 404]
    assert client.get(reverse("generators")).status_code == 404
    for name in ("tune-now", "generate-images"):
        assert client.post(reverse(name, args=[project.slug])).status_code == 404
    assert client.post(reverse("cancel-tuning-run", args=[project.slug, at_work.pk])).status_code == 404
    at_work.refresh_from_db()
    assert not at_work.cancel_requested


def test_another_projects_run_is_not_found(client, ada, a_project, at_work):
    client.force_login(ada)
    other = a_project()
    assert client.get(reverse("tuning-run", args=[other.slug, at_work.pk])).status_code == 404
    assert client.get(reverse("sample-grid", args=[other.slug, at_work.pk, 0])).status_code == 404


def test_who_is_not_signed_in_is_asked_to(client, project, at_work):
    for page in pages(project, at_work):
        assert client.get(page).status_code == 302


def test_a_run_at_work_is_asked_for_again_and_one_that_is_over_is_not(client, ada, project, at_work):
    client.force_login(ada)
    page = reverse("tuning-run", args=[project.slug, at_work.pk])
    live = client.get(page, headers=HTMX).content.decode()
    assert 'hx-trigger="every 2s"' in live
    assert "<html" not in live
    assert '"points": [[1.0, "0.100", ""], [2.0, "0.200", ""]]' in live
    assert "Loading pipeline" in live
    states.finish(at_work, now=now())
    assert "hx-trigger" not in client.get(page, headers=HTMX).content.decode()


PROMPTS = [f"scene {number}" for number in range(5)]


def a_grid(colours):
    """A grid of images of 6 x 4 pixels, as PNG."""
    file = io.BytesIO()
    grid([Image.new("RGB", (6, 4), colour) for colour in colours]).save(file, "PNG")
    return file.getvalue()


def sampled(run, *steps):
    """Write a grid of five images after each of these updates, and what they are of."""
    run.config["sample_prompts"] = len(PROMPTS)
    run.save()
    (run.folder / "prompts.json").write_text(json.dumps({"tuning": [*PROMPTS, "not shown"]}))
    for step in steps:
        (run.folder / "samples" / f"step-{step:06}.png").write_bytes(a_grid(["tan"] * 5))


def test_each_sample_stands_beside_itself_before_tuning_under_its_prompt(client, ada, project, at_work):
    client.force_login(ada)
    sampled(at_work, 0, 2, 3)
    page = client.get(reverse("tuning-run", args=[project.slug, at_work.pk])).content.decode()
    for prompt in PROMPTS:
        assert f'aria-label="{prompt}, Before tuning"' in page
        assert f'aria-label="{prompt}, After 3 updates"' in page
        assert f"<figcaption>{prompt}</figcaption>" in page
    assert "not shown" not in page
    assert page.count('viewBox="8.5 0.5 5 3"') == page.count('viewBox="0.5 6.5 5 3"') == 2
    for step in (0, 2, 3):  # each can be had without a script
        assert f'href="{reverse("sample-grid", args=[project.slug, at_work.pk, step])}"' in page


def test_a_grid_of_prompts_that_are_not_known_is_shown_whole(client, ada, project, at_work):
    client.force_login(ada)
    (at_work.folder / "samples" / "step-000003.png").write_bytes(b"the grid after")
    page = client.get(reverse("tuning-run", args=[project.slug, at_work.pk])).content.decode()
    assert "viewBox" not in page.partition('id="samples"')[2]
    assert 'alt="Samples: After 3 updates"' in page
    whole = client.get(reverse("sample-grid", args=[project.slug, at_work.pk, 3]))
    assert b"".join(whole.streaming_content) == b"the grid after"
    assert client.get(reverse("sample-grid", args=[project.slug, at_work.pk, 1])).status_code == 404


def test_the_lineage_says_what_was_kept_and_why_not(client, ada, project, generator, at_work):
    tuned = register_tuned(run=at_work)
    client.force_login(ada)
    page = reverse("project-generators", args=[project.slug])
    assert "being judged" in client.get(page).content.decode()
    keep_if_sound(tuned, tuned_on=RISE, held_out={"shipped": FALL})
    said = client.get(page).content.decode()
    assert "not kept" in said
    assert tuned.reason in said
    assert "+0.400 (+0.200 to +0.600)" in said


ALARM = Alarm(
    figure="held_out/shipped",
    step=30,
    base=0.5,
    value=0.25,
    change=Change(-0.25, -0.4, -0.1),
    comparison="difference",
    direction="fall",
    limit=0.0,
    tuned=0.75,
)
GUARDS = Outcome(
    step=30,
    best=20,
    reason=str(ALARM),
    alarm=ALARM,
    base={"tuned_reward": 0.1, "held_out/shipped": 0.5, "diversity": 0.2},
    figures={"tuned_reward": 0.4, "held_out/shipped": 0.6, "diversity": 0.19},
    last={"tuned_reward": 0.85, "held_out/shipped": 0.25, "diversity": 0.1},
    seconds=12.0,
    choice="held-out reward shipped rose from 0.5 to 0.6",
    endings=(f"an alarm ended the run: {ALARM}",),
)


GUARDED = {  # what its guards saw, by update
    step: {
        "guards/tuned_reward": 0.1 + step / 40,
        "guards/held_out/shipped": reward,
        "guards/diversity": 0.2 - step / 300,
        "guards/colour_entropy": 4 - step / 40,
        "guards/patch_grid": 0.02 + step / 2000,
        "guards/drift": step / 30,
        "guards/dark_share": 0.1,
    }
    for step, reward in ((0, 0.5), (10, 0.55), (20, 0.6), (30, 0.25))
}


@pytest.fixture
def watched(at_work):
    """A tuning that its guards looked at four times."""
    for step, values in GUARDED.items():
        at_work.points.update_or_create(step=step, defaults={"values": values})
    return at_work


def test_an_alarm_is_told_where_the_run_and_its_generator_are_shown(client, ada, project, watched):
    tuned = register_tuned(run=watched)
    set_unimproved_aside(tuned, guards=dataclasses.replace(GUARDS, best=0))
    client.force_login(ada)
    response = client.get(reverse("tuning-run", args=[project.slug, watched.pk]))
    page = response.content.decode()
    said = "held-out reward shipped fell from 0.5 to 0.25 by update 30, while the reward it is tuned on rose"
    assert said in page
    assert "The guards kept the untuned generator" in page
    assert page.count(said) == 1
    assert [look["label"] for look in response.context["guards"]["looks"]] == ["untuned, kept", "last"]
    listed = client.get(reverse("project-generators", args=[project.slug])).content.decode()
    assert "alarm at update 30" in listed
    assert tuned.reason in listed


STAGED = {
    "updates": 40,
    "guard_every": 10,
    "patience": 2,
    "learning_rate": 1e-5,
    "rewards": {"shipped": 1.0, "shipped:fidelity": 0.5},
    "guard_limits": {"diversity": 0.6, "drift": 1.5},
    "stages": [
        {"method": "selected", "selection": "filter", "updates": 30, "learning_rate": 1e-5, "batch_size": 8},
        {"method": "draft", "updates": 20, "late_steps": [1, 4], "learning_rate": 2e-5},
    ],
}


def a_look(step, tuned, held_out, *, stage=1):
    values = {"tuned_reward": (tuned,) * 12, "held_out/shipped": (held_out,) * 12}
    return Look(step, values, 2.0, None, stage)


@pytest.fixture
def staged(at_work):
    """A tuning of two stages, in its first."""
    at_work.config = STAGED
    write_looks(at_work.folder / "guards.jsonl", [a_look(0, 0.1, 0.5)])
    at_work.step, at_work.steps = 5, 50
    at_work.save()
    return at_work


def stages_on(client, run):
    page = client.get(reverse("tuning-run", args=[run.project.slug, run.pk]))
    rows = page.context["stages"]
    return page, [(row["method"], row["made"], row["updates"], row["state"][0]) for row in rows]


def test_the_stages_of_a_run_are_told_in_words_and_how_far_each_has_come(client, ada, staged):
    client.force_login(ada)
    page, stages = stages_on(client, staged)
    assert stages == [
        ("Reward-selected training on the best pairs", 5, 30, "at work"),
        ("DRaFT", 0, 20, "to come"),
    ]
    first, second = page.context["stages"]
    assert [(each.name, each.text) for each in first["settings"]] == [("batch_size", "8")]
    assert [(each.name, each.text) for each in second["settings"]] == [
        ("late_steps", "1, 4"),
        ("learning_rate", "2e-05"),
    ]
    assert "{" not in page.content.decode().partition("<h2>Configuration</h2>")[2]


def test_a_stage_that_its_guards_ended_is_told_while_the_next_is_at_work(client, ada, staged):
    write_looks(
        staged.folder / "guards.jsonl",
        [a_look(0, 0.1, 0.5), a_look(10, 0.2, 0.6), a_look(20, 0.2, 0.5), a_look(29, 0.2, 0.5)],
    )
    staged.step = 33
    staged.save()
    client.force_login(ada)
    _, stages = stages_on(client, staged)
    assert [stage[1:] for stage in stages] == [(29, 30, "ended early"), (4, 20, "at work")]
    states.fail(staged, error="out of memory", now=now())
    _, stages = stages_on(client, staged)
    assert [state for *_, state in stages] == ["ended early", "stopped"]


def test_what_the_guards_keep_is_told_as_of_now_until_the_run_is_finished(client, ada, staged):
    staged.points.update_or_create(step=0, defaults={"values": {"guards/tuned_reward": 0.1}})
    write_looks(staged.folder / "guards.jsonl", [a_look(0, 0.1, 0.5), a_look(10, 0.2, 0.6)])
    client.force_login(ada)
    states.fail(staged, error="out of memory", now=now())
    guards = stages_on(client, staged)[0].context["guards"]
    words = "update 10: held-out reward shipped rose from 0.5 to 0.6."
    assert (guards["sentence"], guards["choice"]) == (f"So far the guards keep {words}", "best so far")
    staged.state = TuningRun.State.FINISHED
    staged.save()
    guards = stages_on(client, staged)[0].context["guards"]
    assert guards["sentence"].startswith("The guards kept the last of 10 updates")
    assert guards["choice"] == "kept"


def test_the_configuration_is_shown_as_names_and_numbers(client, ada, staged):
    client.force_login(ada)
    page, _ = stages_on(client, staged)
    settings = {setting.name: setting for setting in page.context["settings"]}
    assert settings["rewards"].entries == {"shipped": "1.0", "shipped:fidelity": "0.5"}
    assert settings["guard_limits"].entries == {"diversity": "0.6", "drift": "1.5"}
    assert "stages" not in settings
    assert "<li>drift: 1.5</li>" in page.content.decode()


def test_a_configuration_of_another_version_is_shown_as_it_is_stored(client, ada, staged):
    staged.config = {"stages": [{"method": "magic", "updates": 3}], "a field of another version": True}
    staged.save()
    client.force_login(ada)
    page, stages = stages_on(client, staged)
    assert stages == []
    assert {setting.name: setting.text or setting.rows for setting in page.context["settings"]} == {
        "a field of another version": "yes",
        "stages": ("method magic, updates 3",),
    }


def test_what_the_next_tuning_does_is_told_beside_its_button(client, ada, project, generator, policy):
    policy.config = STAGED
    policy.save()
    client.force_login(ada)
    page = client.get(reverse("project-generators", args=[project.slug])).content.decode()
    assert "1. Reward-selected training on the best pairs" in page
    assert "2. DRaFT" in page
    policy.config = {}
    policy.save()
    page = client.get(reverse("project-generators", args=[project.slug])).content.decode()
    assert "Method: <strong>ReFL</strong>" in page


def test_a_run_whose_guards_measured_nothing_finite_is_shown(client, ada, project, at_work):
    at_work.points.update_or_create(step=0, defaults={"values": {"guards/tuned_reward": 0.1}})
    client.force_login(ada)
    response = client.get(reverse("tuning-run", args=[project.slug, at_work.pk]))
    assert [len(chart["series"]) for chart in response.context["guards"]["charts"]] == [1, 0, 0]


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        ({}, "reward-"),
        ({"shipped": 1.0}, "shipped, which it was tuned on"),
        ({"shipped": 1.0, "shipped:fidelity": 0.5}, "the mixture, which it was tuned on"),
    ],
)
def test_what_a_generator_was_tuned_on_is_named(client, ada, project, at_work, mixture, words):
    at_work.config["rewards"] = mixture
    at_work.save()
    keep_if_sound(register_tuned(run=at_work), tuned_on=RISE, held_out={"another": FALL})
    client.force_login(ada)
    page = client.get(reverse("tuning-run", args=[project.slug, at_work.pk])).content.decode()
    assert words in page
    assert (f"{at_work.checkpoint}, which it was tuned on" in page) == (not mixture)


def test_the_curves_of_the_guards_are_drawn_with_the_alarm_and_what_was_kept(client, ada, project, watched):
    keep_if_sound(register_tuned(run=watched), tuned_on=RISE, held_out={"shipped": RISE}, guards=GUARDS)
    client.force_login(ada)
    response = client.get(reverse("tuning-run", args=[project.slug, watched.pk]))
    rewards, ratios, shares = response.context["guards"]["charts"]
    assert [(mark["x"], mark["label"]) for mark in rewards["marks"]] == [(20, "kept"), (30, "alarm")]
    assert {series["name"]: series["points"] for series in rewards["series"]} == {
        "reward it is tuned on": [(0, 0.1), (10, 0.35), (20, 0.6), (30, 0.85)],
        "shipped": [(0, 0.5), (10, 0.55), (20, 0.6), (30, 0.25)],
    }
    diversity = ratios["series"][0]["points"]
    assert [value for _, value in diversity] == pytest.approx([1, 5 / 6, 2 / 3, 0.5])
    assert [series["name"] for series in shares["series"]] == ["drift from the untuned images", "dark share"]
    page = response.content.decode()
    assert "The guards kept update 20 of 30: held-out reward shipped rose from 0.5 to 0.6" in page
    assert watched.result.reason.endswith(GUARDS.sentence())
    assert [look["label"] for look in response.context["guards"]["looks"]] == [
        "untuned",
        "kept",
        "last",
    ]
    diversity = next(row for row in response.context["guards"]["rows"] if row["label"].startswith("div"))
    assert diversity["values"] == [0.2, 0.19, 0.1]


def test_a_run_without_guards_shows_none(client, ada, project, at_work):
    client.force_login(ada)
    page = client.get(reverse("tuning-run", args=[project.slug, at_work.pk]))
    assert page.context["guards"] is None


def test_the_curves_of_a_tuning_are_downloaded(client, ada, eve, project, at_work):
    client.force_login(ada)
    page = client.get(reverse("tuning-run", args=[project.slug, at_work.pk])).content.decode()
    for form, start in (("csv", "step,"), ("json", '{"')):
        link = reverse("curves-of-tuning-run", args=[project.slug, at_work.pk, form])
        assert link in page
        answer = client.get(link)
        assert answer.content.decode().startswith(start)
        assert f"tuning-{at_work.pk}-curves.{form}" in answer["Content-Disposition"]
    assert json.loads(answer.content)["reward"] == [[1, 0.1], [2, 0.2]]
    other = reverse("curves-of-tuning-run", args=[project.slug, at_work.pk, "xml"])
    assert client.get(other).status_code == 404
    client.force_login(eve)
    assert client.get(link).status_code == 404


def test_a_generator_that_nothing_has_looked_at_says_so_and_is_not_the_newest(
    client, ada, project, generator
):
    register_generator(project=project, name="sd", pipeline="somebody/sd15")
    client.force_login(ada)
    page = client.get(reverse("project-generators", args=[project.slug])).content.decode()
    assert page.count("not yet seen") == 1
    assert "The hub could not be asked for somebody/sd15" in page
    assert page.index(">small</option>") < page.index(">sd</option>")  # what is chosen at first
    assert ">sd<" not in client.get(reverse("generators")).content.decode()


def test_tuning_is_asked_for_once(client, ada, project, generator, prompts, promoted, policy):
    client.force_login(ada)
    answer = client.post(reverse("tune-now", args=[project.slug]))
    run = TuningRun.objects.get()
    assert answer.url == reverse("tuning-run", args=[project.slug, run.pk])
    again = client.post(reverse("tune-now", args=[project.slug]))
    assert again.status_code == 422
    assert "being tuned already" in again.content.decode()
    assert TuningRun.objects.count() == 1


def test_a_project_that_cannot_tune_says_why(client, ada, project):
    client.force_login(ada)
    answer = client.post(reverse("tune-now", args=[project.slug]))
    assert answer.status_code == 422
    assert "no generator is kept" in answer.content.decode()


def test_images_are_asked_for_only_where_a_generator_can_make_them(client, ada, project):
    client.force_login(ada)
    page = client.get(reverse("project-generators", args=[project.slug])).content.decode()
    assert reverse("generate-images", args=[project.slug]) not in page
    assert "No generator is kept yet that could make any." in page


def test_images_are_asked_for(client, ada, project, generator, prompts, promoted):
    client.force_login(ada)
    form = {"generator": generator.pk, "prompts": 3, "per_prompt": 2, "least_sure": "on"}
    answer = client.post(reverse("generate-images", args=[project.slug]), form)
    run = SamplingRun.objects.get()
    assert answer.url == reverse("sampling-run", args=[project.slug, run.pk])
    assert (run.generator, run.checkpoint, run.config["prompts"]) == (generator, promoted, 3)
    assert client.get(answer.url).status_code == 200


@pytest.mark.parametrize(
    ("rule", "label"),
    [("d_optimal", "would teach"), ("entropy", "is least sure"), ("random", "at random")],
)
def test_the_form_says_by_what_prompts_are_chosen(client, ada, project, generator, rule, label):
    type(project).objects.update(choice_rule=rule)
    client.force_login(ada)
    page = client.get(reverse("project-generators", args=[project.slug]))
    assert label in page.context["form"]["least_sure"].label


def test_the_best_of_several_candidates_is_asked_for(client, ada, project, generator, prompts, promoted):
    client.force_login(ada)
    form = {"generator": generator.pk, "prompts": 3, "per_prompt": 2, "best_of": 4}
    answer = client.post(reverse("generate-images", args=[project.slug]), form)
    run = SamplingRun.objects.get()
    assert (run.best_by, run.config["best_of"], run.checkpoint) == (promoted, 4, None)
    assert "Best candidates by" in client.get(answer.url).content.decode()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"best_of": 65}, "less than or equal to 64"),
        ({"per_prompt": 11}, "gets 2 to 10 images"),
        ({"per_prompt": 0}, "greater than or equal to 1"),
        ({"prompts": ""}, "required"),
        ({"generator": 0}, "valid choice"),
    ],
)
def test_images_that_cannot_be_made_are_refused(
    client, ada, project, generator, prompts, promoted, changed, said
):
    client.force_login(ada)
    form = {"generator": generator.pk, "prompts": 3, "per_prompt": 2, "least_sure": "on"} | changed
    answer = client.post(reverse("generate-images", args=[project.slug]), form)
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not SamplingRun.objects.exists()


def test_a_queued_tuning_is_cancelled_and_cannot_be_twice(client, ada, project, run):
    client.force_login(ada)
    cancel = reverse("cancel-tuning-run", args=[project.slug, run.pk])
    assert client.post(cancel).status_code == 302
    run.refresh_from_db()
    assert run.state == TuningRun.State.CANCELLED
    assert client.post(cancel).status_code == 409
    assert [*project.actions.filter(actor=ada, kind="run.cancelled").values_list("subject", flat=True)] == [
        str(run)
    ]


def test_a_failed_tuning_is_tried_again(client, ada, project, at_work):
    states.fail(at_work, error="out of memory", now=now())
    client.force_login(ada)
    page = reverse("tuning-run", args=[project.slug, at_work.pk])
    assert "out of memory" in client.get(page).content.decode()
    assert client.post(reverse("retry-tuning-run", args=[project.slug, at_work.pk])).status_code == 302
    at_work.refresh_from_db()
    assert at_work.state == TuningRun.State.QUEUED
    assert project.actions.first().kind == "run.retried"
