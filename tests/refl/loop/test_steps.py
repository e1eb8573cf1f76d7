"""How the steps of the loop stand, and what may be asked of them."""

import random
import threading

import pytest
from django.db import connection
from django.utils.timezone import now

from annotation.models import Assignment
from annotation.services.projects.projects import add_member
from annotation.services.projects.prompts import NewImage, add_generations
from refl.loop.facts import read_facts
from refl.loop.history import read_history
from refl.loop.queue import cancel_step, in_words, read_loop, repeat_step, start_due, start_step
from refl.loop.step import State, StepBusy, StepRefused
from refl.loop.steps import STEPS
from refl.models import SamplingRun, TuningRun
from refl.services.studies import close_study, open_study
from rewardmodel.models import DatasetVersion, EvaluationRun, TrainingRun
from rewardmodel.runs import states
from tests.cast import picture
from tests.refl.test_studies import answer, hand_in


def loop_of(project):
    return read_loop(read_facts([project])[project.pk])


def standing(project):
    return {key: status.state for key, status in loop_of(project).items()}


def begin(run, *, step=0, steps=0):
    states.claim(run, now=now())
    states.record_progress(run, now=now(), step=step, steps=steps, points={})


def end(run, *, error=""):
    run.refresh_from_db()
    if run.state == "queued":
        states.claim(run, now=now())
    states.fail(run, error=error, now=now()) if error else states.finish(run, now=now())


def test_a_project_with_nothing_says_of_each_step_what_it_waits_for_and_what_comes_first(project):
    statuses = loop_of(project)
    assert {status.state for status in statuses.values()} == {State.WAITING}
    assert all(status.missing for status in statuses.values())
    assert "register_generator" in statuses["sample"].missing[0]
    assert statuses["annotate"].missing == ("images to judge",)
    assert in_words(statuses).startswith("Make images waits for a generator: manage.py register_generator")


def test_the_steps_follow_one_another_through_a_round(
    project, generator, prompts, shipped, policy, training_policy, rank, a_promotion
):
    assert standing(project)["sample"] == State.OFF  # a generator registered by hand makes none by itself
    rank(3)
    before = loop_of(project)
    assert before["train"].missing == before["freeze"].missing == ("17 more rankings",)
    assert before["train"].progress == (3, 20)
    assert before["annotate"].state == State.DONE
    rank(17)
    assert standing(project)["train"] == State.READY
    (training,) = start_due("train")
    begin(training, step=2, steps=9)
    running = loop_of(project)
    assert (running["train"].state, running["train"].progress) == (State.RUNNING, (2, 9))
    assert running["promote"].missing == ("the training to end",)
    assert running["freeze"].state == State.DONE
    assert in_words(running) == (
        "Train the reward model: learns from the rankings (2 of 9). "
        "Then: evaluate and promote, which waits for the training to end."
    )
    end(training)
    promoted = a_promotion()
    ready = loop_of(project)
    assert (ready["tune"].state, ready["tune"].because) == (State.READY, f"{promoted} was promoted")
    (tuning,) = start_due("tune")
    begin(tuning, step=1, steps=3)
    assert loop_of(project)["judge"].missing == ("the last 2 of 3 updates",)


def test_a_round_that_is_over_says_what_each_step_changed_and_comes_back_to_the_first(project, round_over):
    statuses = loop_of(project)
    assert (statuses["tune"].state, statuses["judge"].state) == (State.DONE, State.DONE)
    assert statuses["judge"].changed.startswith(f"{round_over} kept: shipped +0.400")
    assert (
        statuses["promote"].changed
        == f"{round_over.run.checkpoint}: 72.8 % on 162 pairs; +9.2 over shipped (+1.0 to +17.0)"
    )
    assert (statuses["sample"].state, statuses["sample"].because) == (State.READY, f"{round_over} was kept")
    assert in_words(statuses) == f"Make images starts soon: {round_over} was kept."
    (run,) = start_due("sample")
    assert (run.generator, run.because) == (round_over, f"{round_over} was kept")
    assert standing(project)["sample"] == State.RUNNING
    assert list(start_due("sample")) == []


def test_the_facts_of_several_projects_take_as_many_statements_as_those_of_one(
    project, a_project, round_over, django_assert_num_queries
):
    others = [a_project() for _ in range(3)]
    with django_assert_num_queries(16):
        read_facts([project])
    with django_assert_num_queries(16):
        facts = read_facts([project, *others])
    assert facts.keys() == {project.pk, *(other.pk for other in others)}


def test_what_people_do_is_a_step_too(project, a_prompt, alice, ada):
    a_prompt(opened=False), a_prompt(opened=False)
    assert standing(project)["annotate"] == State.OFF
    assert start_step(project, "annotate", by=ada).sentence == "2 opinions asked for."
    assert loop_of(project)["annotate"].progress == (0, 2)
    with pytest.raises(StepRefused, match="make images of other prompts first"):
        start_step(project, "annotate", by=ada)
    assert cancel_step(project, "annotate", now=now(), by=ada) == "2 opinions no longer asked for."
    with pytest.raises(StepRefused, match="nothing to cancel"):
        cancel_step(project, "annotate", now=now(), by=ada)
    Assignment.objects.all().delete()
    project.memberships.filter(user=alice).delete()
    start_step(project, "annotate", by=ada)
    assert "people who annotate" in loop_of(project)["annotate"].missing[0]


def test_answers_to_be_inspected_are_what_it_waits_for(project, rank):
    rank(2)
    Assignment.objects.update(state="submitted", accepted_at=None)
    status = loop_of(project)["annotate"]
    assert status.missing == ("an inspector, who has 2 answers to look at",)


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        ("sample", "no generator is kept; register one"),
        ("annotate", "make images of other prompts first"),
        ("freeze", "none of 0 finished rankings"),
        ("train", "no reward model is registered to start from"),
        ("promote", "freeze one first"),
        ("tune", "no generator is kept"),
        ("judge", "tune one first"),
        ("study", "no generator is kept"),
    ],
)
def test_a_step_started_too_early_says_what_is_missing(project, ada, step, missing):
    with pytest.raises(StepRefused, match=missing):
        start_step(project, step, by=ada)
    assert not project.actions.filter(kind="run.requested").exists()


def test_steps_are_started_by_hand_before_they_are_due(
    project, generator, prompts, shipped, policy, training_policy, rank, ada, a_promotion
):
    rank(16)
    frozen = start_step(project, "freeze", by=ada)
    assert frozen.dataset == DatasetVersion.objects.get()
    assert "Nothing is new" in start_step(project, "freeze", by=ada).sentence
    training = start_step(project, "train", by=ada).run
    assert (training.dataset, training.requested_by, training.because) == (frozen.dataset, ada, "")
    a_promotion()
    assert start_step(project, "tune", by=ada).run.requested_by == ada
    assert start_step(project, "sample", by=ada).run.config["prompts"] == policy.prompts_per_round
    DatasetVersion.objects.exclude(pk=frozen.dataset.pk).update(project=project)
    measured = start_step(project, "promote", by=ada, datasets=[frozen.dataset]).run
    assert measured.config["checkpoints"][0].startswith("reward-")
    assert {type(each) for each in (measured, training)} == {EvaluationRun, TrainingRun}


def test_a_step_that_is_under_way_is_not_started_again(project, generator, prompts, ada):
    run = start_step(project, "sample", by=ada).run
    for again in (start_step, repeat_step):
        with pytest.raises(StepBusy, match=f"{run} is under way already"):
            again(project, "sample", by=ada)
    assert SamplingRun.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_start_a_step_at_once_start_it_once(project, encoder, rank, ada):
    rank(16)
    outcomes = []

    def press():
        try:
            outcomes.append(start_step(project, "train", by=ada).run.state)
        except StepBusy:
            outcomes.append("busy")
        finally:
            connection.close()

    people = [threading.Thread(target=press) for _ in range(2)]
    [person.start() for person in people]
    [person.join() for person in people]
    assert sorted(outcomes) == ["busy", "queued"]
    assert TrainingRun.objects.count() == 1


def test_cancelling_stops_the_run_and_what_is_over_says_so(project, generator, prompts, ada):
    with pytest.raises(StepRefused, match="nothing is under way"):
        cancel_step(project, "sample", now=now(), by=ada)
    run = start_step(project, "sample", by=ada).run
    assert "is cancelled" in cancel_step(project, "sample", now=now(), by=ada)
    run.refresh_from_db()
    assert run.state == "cancelled"
    with pytest.raises(StepRefused, match=f"{run} is cancelled already"):
        cancel_step(project, "sample", now=now(), by=ada)
    again = repeat_step(project, "sample", by=ada).run
    assert (again.state, again == run) == ("queued", False)


def test_a_failed_step_says_why_and_goes_on_where_it_stopped(project, generator, prompts, ada):
    run = start_step(project, "sample", by=ada).run
    end(run, error="Traceback\n\nOutOfMemory: the device is full\n")
    status = loop_of(project)["sample"]
    assert (status.state, status.note) == (State.FAILED, "OutOfMemory: the device is full")
    assert in_words(loop_of(project)) == "Make images failed: OutOfMemory: the device is full"
    assert repeat_step(project, "sample", by=ada).run == run
    assert TuningRun.objects.count() == 0
    assert standing(project)["sample"] == State.RUNNING


def test_a_tuning_that_failed_while_it_was_judged_is_judged_again(project, round_over, ada):
    with pytest.raises(StepRefused, match="a verdict stands"):
        start_step(project, "judge", by=ada)
    type(round_over).objects.update(kept=None, reason="", metrics={})
    TuningRun.objects.update(state="failed", error="killed")
    assert standing(project)["judge"] == State.FAILED
    assert start_step(project, "judge", by=ada).run == round_over.run


def test_a_study_that_makes_images_is_no_step_of_making_images(project, generator, prompts):
    run = SamplingRun.objects.create(project=project, generator=generator)
    project.studies.create(name="blind", run=run)
    assert standing(project)["sample"] == State.OFF


def test_images_by_hand_open_the_loop_where_there_is_no_generator(project, prompts, alice):
    for shade in (1, 2):
        add_generations(prompt=prompts[0], images=[NewImage(picture(shade), f"{shade}.png")])
    assert standing(project)["annotate"] == State.OFF
    assert set(STEPS) == set(standing(project))


def test_a_new_member_who_annotates_counts(project, a_prompt, eve):
    a_prompt()
    assert standing(project)["annotate"] == State.WAITING
    add_member(project=project, user=eve, role="annotator")
    assert standing(project)["annotate"] == State.RUNNING


def test_people_compare_the_tuned_generator_and_the_loop_says_how_far_they_are(
    project, round_over, alice, ada
):
    assert loop_of(project)["study"].note == f"nobody has compared {round_over} with small yet"
    run = start_step(project, "study", by=ada, captions=3, stops=False).run
    assert (standing(project)["study"], loop_of(project)["study"].run) == (State.RUNNING, run)
    assert standing(project)["sample"] == State.READY  # its images are no round of images
    hand_in(run.study)
    assert loop_of(project)["study"].progress == (0, 3)
    with pytest.raises(StepBusy, match="close it first"):
        start_step(project, "study", by=ada)
    answer(run.study, alice, [str(round_over), "small"], tasks=2)
    assert loop_of(project)["study"].progress == (2, 3)
    assert cancel_step(project, "study", now=now(), by=ada) == f"Study {run.study} is closed."
    status = loop_of(project)["study"]
    assert (status.state, status.changed) == (
        State.DONE,
        f"{run.study}: Closed from the page of the loop.",
    )
    with pytest.raises(StepRefused, match="no study is under way"):
        cancel_step(project, "study", now=now(), by=ada)
    assert read_history(project)[0].name == f"study {run.study}"
    assert repeat_step(project, "study", by=ada).run.study.name.endswith("(2)")


def test_there_is_no_study_before_something_was_tuned(project, generator, prompts, ada):
    assert loop_of(project)["study"].missing == ("a tuned generator that is kept",)
    with pytest.raises(StepRefused, match="nothing to compare small with: tune a generator first"):
        start_step(project, "study", by=ada)


def test_a_study_that_compared_others_with_it_or_that_nobody_answered_is_no_study_of_it(
    project, round_over, generator, alice, ada
):
    run = start_step(project, "study", by=ada, captions=2).run
    cancel_step(project, "study", now=now(), by=ada)
    pair = [round_over, generator]
    as_base = start_step(project, "study", by=ada, captions=2, generators=pair).run.study
    answer(hand_in(as_base), alice, [str(each) for each in pair])
    cancel_step(project, "study", now=now(), by=ada)
    assert loop_of(project)["study"].note == f"nobody has compared {round_over} with small yet"
    again = start_step(project, "study", by=ada, captions=2).run.study
    answer(hand_in(again), alice, [str(round_over), "small"], tasks=1)
    cancel_step(project, "study", now=now(), by=ada)
    assert loop_of(project)["study"].note == f"people have compared {round_over}"
    assert run.study != again


def test_a_study_under_way_is_shown_and_cancelled_before_a_newer_one_that_is_closed(
    project, round_over, generator, ada
):
    compared = [generator, round_over]
    older, newer = (
        open_study(project=project, generators=compared, captions=2, rng=random.Random(seed))
        for seed in (1, 2)
    )
    close_study(newer, reason="Enough.", now=now())
    status = loop_of(project)["study"]
    assert (status.state, status.run) == (State.RUNNING, older.run)
    assert cancel_step(project, "study", now=now(), by=ada) == f"Study {older} is closed."
    assert loop_of(project)["study"].changed == f"{newer}: Enough."


def test_the_log_and_the_history_say_who_or_what_started_a_step_that_no_run_does(
    project, a_prompt, rank, round_over, ada
):
    a_prompt(opened=False)
    start_step(project, "annotate", because="run_loop, round 1")
    opened = project.actions.filter(kind="work.opened").first()
    assert (opened.actor, opened.details) == (None, {"because": "run_loop, round 1"})
    rank(2)
    by_rule = start_step(project, "freeze", because="run_loop, round 1").dataset
    rank(1)
    by_hand = start_step(project, "freeze", by=ada).dataset
    start_step(project, "freeze", by=ada)  # nothing is new, nothing logged
    frozen = project.actions.filter(kind="dataset.frozen", subject__in=[str(by_rule), str(by_hand)])
    assert [(each.actor, each.details) for each in frozen] == [
        (ada, {}),
        (None, {"because": "run_loop, round 1"}),
    ]
    study = start_step(project, "study", because="run_loop, round 2", captions=2).run.study
    why = {entry.name: entry.why for entry in read_history(project)}
    assert why[f"dataset {by_rule}"] == "run_loop, round 1"
    assert why[f"dataset {by_hand}"] == "asked for by ada"
    assert why[f"study {study}"] == "run_loop, round 2"
