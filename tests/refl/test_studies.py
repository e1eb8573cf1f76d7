"""Blind studies: what may be compared, whose images are shown, what becomes of votes, and when it ends."""

import json
import random
from datetime import timedelta
from itertools import count

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.utils.timezone import now

from annotation.models import Action, Assignment, Event, Generation, Image, Prompt
from annotation.selectors.preferences import finished_rankings
from annotation.services.assignments.assignments import claim_next
from annotation.services.assignments.skips import skip_task
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import add_member
from annotation.services.webhooks.webhooks import create_webhook
from annotation.statistics.win_rates import win_rate
from refl.loop.facts import read_facts
from refl.models import Generator, Study, TuningRun
from refl.selectors.prompts import prompts_without_images, texts_for_studies, tuning_prompts
from refl.selectors.studies import project_studies, study_report, study_votes
from refl.services import study_tending
from refl.services.generators import register_generator
from refl.services.sampling import queue_sampling
from refl.services.studies import (
    STUDY_CLOSED,
    ask_annotators,
    close_study,
    open_study,
    publish_study,
    repeat_study,
    withdraw_link,
)
from refl.services.study_images import make_images, make_study_images
from refl.services.study_plans import CannotStudy
from refl.services.study_tending import tend_studies
from refl.views.study_gallery import rate_rows
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import DatasetVersion
from rewardmodel.runs import states
from tests.cast import NOW, answer_for, luck
from tests.refl.studied import answer, draw, hand_in
from tests.refl.test_sampling import Impatient


def test_a_study_takes_held_out_texts_and_queues_one_run_of_the_same_seeds(
    a_study, project, generator, rivals
):
    study = a_study(images_per_caption=2)
    assert (study.state, study.name, study.run.state) == ("drawing", "coarse against small", "queued")
    assert study.compared == [generator, rivals[0]]
    texts = set(study.tasks.values_list("prompt__text", flat=True))
    assert len(texts) == 4
    assert texts <= set(texts_for_studies(project, [generator]))
    assert study.tasks.count() == 8
    assert study.run.steps == 16
    draw(study)
    for task in study.tasks.all():
        images = Generation.objects.filter(prompt=task.prompt_id)
        assert {(image.generator, image.seed) for image in images} == {
            ("small", task.seed),
            ("coarse", task.seed),
        }
    assert len(set(study.tasks.values_list("seed", flat=True))) == 8


def test_annotators_are_asked_once_all_images_are_there_and_only_once(a_study):
    study = a_study(opinions=2)
    assert not ask_annotators(study, now=NOW)
    hand_in(study)
    assert (study.state, Assignment.objects.filter(kind="study", state="open").count()) == ("open", 8)
    assert not ask_annotators(study, now=NOW)
    tend_studies(now=now())
    assert Assignment.objects.filter(kind="study").count() == 8


def test_the_schedule_asks_where_the_worker_died_after_the_last_image(a_study):
    hand_in(a_study())
    Assignment.objects.all().delete()
    Study.objects.update(state="drawing", opened_at=None)
    tend_studies(now=now())
    assert Assignment.objects.filter(kind="study", state="open").count() == 4


def test_an_interrupted_run_makes_the_rest_and_gives_no_task_its_images_twice(a_study):
    study = a_study(captions=3)
    states.claim(study.run, now=now())
    with pytest.raises(Interrupted):
        make_study_images(study, Impatient(study.run, 2), rng=random.Random(1))
    assert not Generation.objects.exists()
    assert study.run.folder.joinpath("images").exists()
    make_study_images(study, Impatient(study.run, 999), rng=random.Random(1))
    make_study_images(study, Impatient(study.run, 999), rng=random.Random(2))
    assert Generation.objects.count() == 6
    assert not study.run.folder.joinpath("images").exists()


@pytest.mark.parametrize(("design", "others", "tasks", "shown"), [("pairs", 2, 12, 2), ("rankings", 2, 4, 3)])
def test_several_generators_are_asked_about_in_pairs_or_in_one_ranking(a_study, design, others, tasks, shown):
    study = draw(a_study(others, design=design))
    assert study.tasks.count() == tasks
    counts = [task.prompt.generations.count() for task in study.tasks.select_related("prompt")]
    assert counts == [shown] * tasks
    assert Image.objects.count() == 12  # each made once, however many tasks show it


def test_votes_become_wins_rates_and_a_gallery(a_study, alice, bob, project, generator, rivals):
    study = hand_in(a_study(opinions=2, stops=False))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["small", "coarse"], tasks=1)
    report = study_report(study)
    [rate] = report.rates
    assert (rate.generator, rate.against) == (rivals[0], generator)
    assert (rate.result.wins, rate.result.losses, rate.result.ties) == (4, 1, 0)
    # One prompt has both opinions; the others wait for their second and do not count yet.
    assert (rate.result.prompts, rate.result.value, rate.verdict) == (1, 0.5, "open")
    assert (report.counts.answered, report.counts.wanted, report.counts.waiting) == (5, 8, 3)
    assert report.stop.kind == "go_on"
    assert len(report.gallery) == 4
    for row in report.gallery:
        assert [image.generator for image in row.images] == [generator, rivals[0]]
        assert row.votes[0] is None
        assert row.votes[1].wins == 1
    assert [vote.vote for vote in study_votes(study)].count(1.0) == 4
    assert project_studies(project).get().answered == 5
    assert report.reward is None  # nothing scored these pictures


def test_a_ranking_compares_every_generator_with_the_base_and_with_each_other(
    a_study, alice, generator, rivals
):
    study = hand_in(a_study(2, design="rankings", captions=10, stops=False))
    answer(study, alice, ["fine", "coarse", "small"])
    report = study_report(study)
    assert [(rate.generator.name, rate.result.wins, rate.result.losses) for rate in report.rates] == [
        ("coarse", 10, 0),
        ("fine", 10, 0),
    ]
    assert {(r.generator.name, r.against.name, r.result.value) for r in report.pairwise} == {
        ("coarse", "small", 1.0),
        ("fine", "small", 1.0),
        ("fine", "coarse", 1.0),
    }
    assert [row.generator.name for row in report.board] == ["fine", "coarse", "small"]
    # One interval for every two generators: the page names no winner in one table that another leaves open.
    against_base = [rate for rate in report.pairwise if rate.against == generator]
    assert report.rates == against_base
    lone = win_rate(np.arange(10), np.ones(10), np.ones(10, bool), confidence=1 - 0.05 / 3)
    assert report.rates[0].result.interval == lone.interval


def test_what_is_decided_is_said_where_something_else_stays_open(a_study, alice):
    study = hand_in(a_study(2, design="rankings", captions=10, confidence=0.5))
    answer(study, alice, ["fine", "coarse", "small"], tasks=5)
    answer(study, alice, ["fine", "small", "coarse"])
    tend_studies(now=NOW)
    reason = Study.objects.get().reason
    assert reason.startswith("fine is preferred to small: 100.0 % of votes (")
    assert reason.endswith("Every opinion is in; of coarse they leave it open.")


def test_tasks_on_one_prompt_are_one_observation_of_agreement(a_study, alice, bob):
    study = hand_in(a_study(opinions=2, images_per_caption=2, captions=10, stops=False))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["coarse", "small"])
    assert study.tasks.count() == 20
    assert study_report(study).agreement.prompts == 10


def test_ties_count_half_and_skipped_or_refused_answers_not_at_all(a_study, alice, bob, project):
    study = hand_in(a_study(stops=False))
    answer(study, alice, None, tasks=2)
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    skip_task(assignment=task, annotator=alice, reason="unfit", note="", now=NOW)
    [rate] = study_report(study).rates
    assert (rate.result.ties, rate.result.votes, rate.result.value) == (2, 2, 0.5)
    assert study_report(study).counts.skipped == 1


def test_categories_are_those_that_most_answers_name(a_study, alice):
    study = hand_in(a_study(stops=False))
    answer(study, alice, ["coarse", "small"])
    [category] = study_report(study).categories
    assert (category.category, category.rates[0].result.wins) == ("Animals", 4)
    assert category.rates[0].verdict == ""  # its error is not shared with the others


def test_two_annotators_agreement_and_the_reward_models_accuracy_are_counted(a_study, alice, bob, promoted):
    study = draw(a_study(opinions=2, captions=10, stops=False))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["coarse", "small"])
    report = study_report(study)
    assert (report.agreement.value, report.agreement.count) == (1.0, 10)
    assert report.reward.model == promoted.name
    scores = [
        dict(task.prompt.generations.values_list("generator", "score"))
        for task in study.tasks.select_related("prompt")
    ]
    share = sum(each["coarse"] > each["small"] for each in scores) / 10
    assert report.reward.accuracy.value == pytest.approx(share)
    assert report.reward.win_rates[0][1].value == pytest.approx(share)


def test_a_study_closes_by_itself_when_its_interval_leaves_one_half_out(a_study, alice, ada, project):
    create_webhook(project=project, url="https://example.org/hook", kinds=[STUDY_CLOSED], by=ada)
    study = hand_in(a_study(captions=11))
    answer(study, alice, ["coarse", "small"], tasks=10)
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert study.state == "closed"
    assert study.reason.startswith("coarse is preferred to small: 100.0 % of votes (")
    assert not Assignment.objects.filter(state="open").exists()
    event = Event.objects.get(kind="study.closed")
    assert event.data == {"study": study.pk, "reason": study.reason}
    assert Action.objects.filter(kind="study.closed").get().actor is None


def test_a_study_that_need_not_stop_goes_on_until_everybody_answered(a_study, alice):
    study = hand_in(a_study(captions=11, stops=False))
    answer(study, alice, ["coarse", "small"], tasks=10)
    tend_studies(now=NOW)
    assert Study.objects.get().state == "open"  # decided, but it was not to stop
    answer(study, alice, ["coarse", "small"])
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert (study.state, study.reason[:29]) == ("closed", "coarse is preferred to small:")


@pytest.mark.parametrize("asked", [{"opinions": 2}, {"images_per_caption": 2}, {"others": 2}])
def test_a_clear_winner_is_named_early_however_often_a_prompt_is_asked_about(a_study, alice, bob, asked):
    study = hand_in(a_study(captions=11, confidence=0.5, **asked))
    wanted = Assignment.objects.count()
    while Study.objects.get().state == "open":
        for annotator in (alice, bob):
            answer(study, annotator, ["fine", "coarse", "small"], tasks=1)
            tend_studies(now=NOW)
    assert "coarse is preferred to small" in Study.objects.get().reason
    assert Assignment.objects.count() < 0.8 * wanted


def test_a_prompt_with_a_part_of_its_votes_never_counts_even_after_the_end(a_study, alice, bob):
    study = hand_in(a_study(opinions=2))
    answer(study, alice, ["coarse", "small"])
    answer(study, bob, ["small", "coarse"], tasks=1)
    close_study(study, reason="Enough.", now=NOW)  # by somebody who sees who leads
    [rate] = study_report(Study.objects.get()).rates
    assert (rate.result.votes, rate.result.prompts, rate.result.value) == (5, 1, 0.5)


def test_a_study_without_a_winner_closes_when_every_opinion_is_in(a_study, alice):
    study = hand_in(a_study())
    answer(study, alice, ["coarse", "small"], tasks=2)
    answer(study, alice, ["small", "coarse"])
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert (study.state, study.reason[:23]) == ("closed", "Every opinion is in, an")


def test_closing_cancels_images_in_the_making_and_closing_again_changes_nothing(a_study, ada):
    study = a_study()
    closed = close_study(study, reason="Too early.", now=NOW, by=ada)
    assert (closed.state, closed.run.state, closed.reason) == ("closed", "cancelled", "Too early.")
    assert close_study(study, reason="Again.", now=NOW).reason == "Too early."
    assert not ask_annotators(study, now=NOW)


def test_a_task_in_hand_when_its_study_closes_still_counts(a_study, alice, project):
    study = hand_in(a_study())
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    close_study(study, reason="Enough.", now=NOW)
    assert Assignment.objects.filter(kind="study").count() == 1
    judgement = answer_for(task, slots=[1, 2])
    submit_judgement(assignment=task, annotator=alice, judgement=judgement, now=NOW, generator=luck())
    Assignment.objects.filter(kind="study").update(state="accepted", accepted_at=NOW)
    assert study_report(study).rates[0].result.votes == 1


def test_a_report_says_what_was_decided_when_the_study_closed_though_answers_came_in_since(
    a_study, alice, bob, project
):
    study = hand_in(a_study(captions=10, confidence=0.6))
    answer(study, alice, ["coarse", "small"], tasks=6)
    task = claim_next(annotator=bob, project=project, now=NOW, generator=luck())
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert (study.state, study_report(study).closed_with) == ("closed", study_report(study).rates)
    makers = dict(Generation.objects.filter(pk__in=task.order).values_list("pk", "generator"))
    slots = [1 if makers[pk] == "small" else 2 for pk in sorted(task.order)]
    submit_judgement(
        assignment=task, annotator=bob, judgement=answer_for(task, slots=slots), now=NOW, generator=luck()
    )
    Assignment.objects.filter(state="submitted").update(state="accepted", accepted_at=NOW)
    tend_studies(now=NOW)
    report = study_report(Study.objects.get())
    [then], [since] = report.closed_with, report.rates
    assert (then.verdict, then.result.votes) == ("better", 6)
    assert (since.verdict, since.result.votes) == ("open", 7)
    [row] = rate_rows(report)
    assert row.at_close == then


def test_a_lease_that_runs_out_after_the_end_is_taken_back(a_study, alice, project):
    study = hand_in(a_study())
    claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    close_study(study, reason="Enough.", now=NOW)
    tend_studies(now=NOW + project.lease + timedelta(seconds=1))
    assert not Assignment.objects.filter(kind="study").exists()


def test_a_failed_run_is_said_and_may_be_tried_again(a_study):
    study = a_study()
    states.claim(study.run, now=now())
    states.fail(study.run, error="Traceback\nNotAPipeline: no folder", now=now())
    tend_studies(now=now())
    assert Study.objects.get().state == "drawing"
    assert "NotAPipeline: no folder" in study_report(study).problem
    states.retry(study.run)
    draw(study)
    assert (study.state, study_report(study).problem) == ("open", "")


def test_a_cancelled_run_closes_its_study_which_can_be_repeated(a_study, ada):
    study = a_study(images_per_caption=2, opinions=3)
    states.cancel(study.run, now=now(), by=ada)
    tend_studies(now=now())
    study.refresh_from_db()
    assert (study.state, study.reason) == ("closed", "The making of its images was cancelled.")
    again = repeat_study(study, rng=random.Random(9), by=ada)
    assert (again.name, again.state, again.config) == ("coarse against small (2)", "drawing", study.config)
    assert again.compared == study.compared
    seeds = [set(each.tasks.values_list("seed", flat=True)) for each in (study, again)]
    assert not seeds[0] & seeds[1]
    assert repeat_study(again, rng=random.Random(9)).name == "coarse against small (3)"


def test_an_image_deleted_while_people_work_withdraws_its_task_and_is_counted(a_study, alice):
    study = hand_in(a_study())
    task = study.tasks.first()
    task.prompt.generations.first().delete()
    tend_studies(now=NOW)
    task.refresh_from_db()
    assert task.withdrawn == "An image of it was deleted."
    assert study_report(study).counts.withdrawn == 1
    assert len(answer(study, alice, ["coarse", "small"])) == 3


def test_an_image_deleted_before_annotators_are_asked_withdraws_its_task(a_study):
    study = hand_in(a_study())
    Assignment.objects.all().delete()
    Study.objects.update(state="drawing", opened_at=None)
    study.tasks.first().prompt.generations.first().delete()
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert (study.state, study_report(study).counts.withdrawn) == ("open", 1)
    assert Assignment.objects.count() == 3


def test_a_failed_run_tried_again_after_the_end_of_its_study_makes_nothing(a_study):
    study = a_study()
    states.claim(study.run, now=now())
    states.fail(study.run, error="", now=now())
    assert study_report(study).problem == "Its images could not be made: it does not say why"
    close_study(study, reason="Enough.", now=NOW)
    states.retry(study.run)
    states.claim(study.run, now=now())
    make_images(study.run, Impatient(study.run, 1))
    assert not Generation.objects.exists()


def test_a_study_that_fails_keeps_no_other_from_being_tended(a_study, alice):
    broken, whole = a_study(name="broken"), a_study(name="whole")
    hand_in(broken)
    hand_in(whole)
    Study.objects.filter(pk=broken.pk).update(config={"margin": "wide"})
    answer(whole, alice, ["coarse", "small"])
    with pytest.raises(TypeError):
        tend_studies(now=NOW)
    assert Study.objects.get(name="whole").state == "closed"


def test_a_file_that_is_gone_withdraws_its_task_once_somebody_says_it_does_not_show(a_study, alice, project):
    study = hand_in(a_study())
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    default_storage.delete(Generation.objects.get(pk=task.order[0]).image.file.name)
    skip_task(assignment=task, annotator=alice, reason="broken", note="", now=NOW)
    tend_studies(now=NOW)
    assert study_report(study).counts.withdrawn == 1
    assert not Assignment.objects.filter(prompt=task.prompt_id, state="open").exists()


def test_lost_files_are_noticed_though_nobody_skipped_and_each_is_looked_at_once(a_study, monkeypatch):
    monkeypatch.setattr(study_tending, "FILES", 3)
    study = hand_in(a_study())
    first, *_, last = (task.prompt.generations.first().image.file.name for task in study.tasks.all())
    default_storage.delete(last)
    tend_studies(now=NOW)  # looks at three of the four tasks
    assert study_report(study).counts.withdrawn == 0
    tend_studies(now=NOW)
    assert list(study.tasks.values_list("withdrawn", flat=True)) == ["", "", "", study_tending.GONE]
    default_storage.delete(first)
    tend_studies(now=NOW)
    assert study_report(study).counts.withdrawn == 1


def test_a_storage_that_cannot_be_read_now_withdraws_no_task(a_study, media):
    study = hand_in(a_study())
    away = media.rename(media.with_name("away"))
    media.symlink_to(media)  # nothing can be looked up here: too many levels of links
    try:
        with pytest.raises(OSError, match="symbolic links"):
            tend_studies(now=NOW)
    finally:
        media.unlink()
        away.rename(media)
    tend_studies(now=NOW)
    assert study_report(study).counts.withdrawn == 0


def test_a_study_is_read_again_only_where_something_came_in_or_went(a_study, alice, bob, project):
    study = hand_in(a_study(captions=6, stops=False))
    times = (NOW + timedelta(minutes=number) for number in count())

    def looks():
        """Whether it is read again, and then not once more."""
        first, second = next(times), next(times)
        tend_studies(now=first)
        tend_studies(now=second)
        looked_at = Study.objects.get().looked_at
        assert looked_at < second
        return looked_at == first

    assert looks()
    assert not looks()
    answer(study, alice, ["coarse", "small"], tasks=1)
    assert looks()
    assert [rate.wins for rate in Study.objects.get().rates] == [1]
    task = claim_next(annotator=bob, project=project, now=NOW, generator=luck())
    assert looks()
    skip_task(assignment=task, annotator=bob, reason="unfit", note="", now=NOW)
    assert looks()
    Assignment.objects.filter(state="accepted").update(state="rejected", accepted_at=None)
    assert looks()
    assert [rate.wins for rate in Study.objects.get().rates] == [0]
    study.tasks.last().prompt.generations.first().delete()
    assert looks()
    assert Study.objects.get().tasks.exclude(withdrawn="").count() == 1


def test_an_opinion_is_answered_once_it_counts_wherever_that_is_said(a_study, alice, project):
    study = hand_in(a_study(stops=False))
    first, _ = answer(study, alice, ["coarse", "small"], tasks=2)
    Assignment.objects.filter(pk=first.pk).update(state="submitted", accepted_at=None)  # awaits an inspector
    [listed] = project_studies(project)
    counts, facts = study_report(study).counts, read_facts([project])[project.pk]
    assert listed.answered == facts.study_answered == counts.answered == 1
    assert listed.wanted == facts.study_wanted == counts.wanted == 4


def test_generators_that_make_equal_images_have_nothing_to_compare(project, prompts, generator, pipeline):
    twin = register_generator(project=project, name="twin", pipeline=pipeline, steps=2, guidance_scale=1.0)
    study = open_study(project=project, generators=[generator, twin], captions=2, rng=random.Random(1))
    draw(study)
    tend_studies(now=NOW)
    study.refresh_from_db()
    assert (study.state, study.reason[:31]) == ("closed", "Its generators make equal image")


def test_a_retuned_generator_is_another_row_and_the_study_goes_on_with_the_first(
    a_study, pipeline, project, rivals
):
    study = a_study()
    register_generator(project=project, name="coarse-2", pipeline=pipeline, steps=4)
    draw(study)
    assert set(Generation.objects.values_list("generator", flat=True)) == {"small", "coarse"}
    with pytest.raises(ValueError, match="already"):
        register_generator(project=project, name="coarse", pipeline=pipeline)


def test_two_studies_of_the_same_texts_do_not_meet(a_study, alice):
    first, second = hand_in(a_study()), hand_in(a_study(name="another"))
    answered = answer(first, alice, ["coarse", "small"])
    assert len(answered) == 8
    assert [study_report(each).rates[0].result.votes for each in (first, second)] == [4, 4]


def test_a_study_leaves_the_projects_own_work_alone(a_study, alice, project, generator, promoted, prompts):
    before = (
        list(prompts_without_images(project)),
        tuning_prompts(promoted),
        list(project.prompts.values_list("pk", flat=True)),
    )
    study = hand_in(a_study())
    answer(study, alice, ["coarse", "small"])
    assert before == (
        list(prompts_without_images(project)),
        tuning_prompts(promoted),
        list(project.prompts.values_list("pk", flat=True)),
    )
    assert list(finished_rankings(project)) == []
    assert Prompt.everything.filter(project=project).count() == len(prompts) + 4


def test_the_loops_own_images_do_not_wait_for_a_studys(a_study, generator, prompts):
    study = a_study()
    assert (
        queue_sampling(generator=generator, per_prompt=2, prompts=1, rng=random.Random(0)).state == "queued"
    )
    assert study.run.state == "queued"


def test_a_public_link_is_new_each_time_and_can_be_withdrawn(a_study, ada):
    study = a_study()
    first = publish_study(study, by=ada).public_token
    second = publish_study(study, by=ada).public_token
    assert first != second
    assert withdraw_link(study, by=ada).public_token is None
    logged = Action.objects.filter(kind__startswith="study.").order_by("pk").values_list("kind", flat=True)
    assert list(logged) == ["study.opened", "study.published", "study.published", "study.unpublished"]


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"captions": 1}, "captions: 2 to"),
        ({"captions": 0}, "captions: 2 to 20,000, not 0"),
        ({"captions": 3, "images_per_caption": 100, "opinions": 100}, "would ask 30,000 times, more than"),
        ({"texts": ["a red\0 fox", "a blue fox"]}, "has a NUL character"),
        ({"texts": ["A red fox w", "a red  Fox w"]}, "a study of 1 prompt"),
        ({"captions": 400}, r"has \d+ held-out prompts, not 400"),
        ({"opinions": 0}, "opinions: 1 to 100, not 0"),
        ({"images_per_caption": 101}, "images_per_caption: 1 to 100, not 101"),
        ({"confidence": 1.0}, "confidence: 0.5 to"),
        ({"margin": 0.26}, "margin: 0.0 to 0.25, not 0.26"),
        ({"margin": 0.5}, "margin: 0.0 to 0.25, not 0.5"),
        ({"design": "duels"}, "pairs or rankings, not 'duels'"),
        ({"texts": ["a red fox w", ""]}, "a study of 1 prompt"),
        ({"name": "x" * 101}, "at most 100"),
    ],
)
def test_a_study_that_could_not_work_is_refused_in_one_line(a_study, asked, refusal):
    with pytest.raises(CannotStudy, match=refusal) as error:
        a_study(**asked)
    assert "\n" not in str(error.value)
    assert not Study.objects.exists()
    assert not Prompt.everything.filter(is_of_study=True).exists()


def test_a_study_of_long_names_can_be_repeated(a_study, generator):
    Generator.objects.filter(pk=generator.pk).update(name="x" * 100)
    generator.refresh_from_db()
    study = a_study()
    again = repeat_study(study, rng=random.Random(9))
    assert (len(study.name), len(again.name), again.name[-4:]) == (100, 100, " (2)")


def test_what_a_generator_was_tuned_on_must_be_known(a_study, project, promoted, rivals):
    run = TuningRun.objects.create(project=project, checkpoint=promoted, generator=rivals[1])
    Generator.objects.filter(pk=rivals[0].pk).update(run=run, parent=rivals[1])
    rivals[0].refresh_from_db()
    for texts in (None, texts_for_studies(project, [])[:2]):
        with pytest.raises(
            CannotStudy, match=r"prompts.json does not say what coarse was tuned on \(FileNot"
        ):
            a_study(texts=texts)
    run.folder.mkdir(parents=True)
    learned = texts_for_studies(project, [])[0]
    (run.folder / "prompts.json").write_text(json.dumps({"tuning": [learned.upper()]}))
    assert learned not in texts_for_studies(project, rivals)
    assert a_study().state == "drawing"


def test_a_name_is_used_once(a_study):
    a_study(name="spring")
    with pytest.raises(CannotStudy, match="has a study 'spring' already"):
        a_study(name="spring")


def test_generators_must_be_two_different_ones_of_the_project_and_ready(
    project, prompts, generator, rivals, a_project, pipeline
):
    def refused(generators, match):
        with pytest.raises(CannotStudy, match=match):
            open_study(project=project, generators=generators, rng=random.Random(1))

    refused([generator], "2 generators or more, not 1")
    refused([generator, generator], "small is named twice")
    foreign = register_generator(project=a_project(), name="foreign", pipeline=pipeline)
    refused([generator, foreign], "foreign is of another project.* share no prompt")
    Generator.objects.filter(pk=rivals[0].pk).update(kept=None)
    rivals[0].refresh_from_db()
    refused([generator, rivals[0]], "coarse is still being judged")
    Generator.objects.filter(pk=rivals[1].pk).update(is_seen=False)
    rivals[1].refresh_from_db()
    refused([generator, rivals[1]], "fine is not seen yet")


def test_texts_of_a_training_split_are_refused_and_without_held_out_ones_nothing_is_shared(
    a_study, project, generator, rivals, promoted, prompts
):
    trained = next(text for text in tuning_prompts(promoted) if text not in texts_for_studies(project, []))
    with pytest.raises(CannotStudy, match="is in a training split"):
        a_study(texts=["a new scene", *[p.text for p in prompts]])
    assert trained
    DatasetVersion.objects.update(shares={"train": 1.0, "validation": 0.0, "test": 0.0})
    with pytest.raises(CannotStudy, match="share no prompt that none of them learned from"):
        a_study()


def test_more_images_than_can_be_placed_are_asked_for_in_pairs(project, prompts, generator, rivals):
    project.slots, project.per_slot = 2, 1
    project.save()
    with pytest.raises(CannotStudy, match="no more than 2 can be placed in a ranking: ask for pairs"):
        open_study(project=project, generators=[generator, *rivals], design="rankings", rng=random.Random(1))


def test_who_joins_later_may_still_be_asked(a_study, project, eve):
    study = hand_in(a_study())
    add_member(project=project, user=eve, role="annotator")
    assert len(answer(study, eve, ["coarse", "small"])) == 4
