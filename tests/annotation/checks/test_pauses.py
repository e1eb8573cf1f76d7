"""Pauses: by an inspector or by a rule, what the paused are told, and how it ends."""

from datetime import timedelta

import pytest

from annotation.models import Assignment, Check, Pause, Placement, Ranking
from annotation.services.actions import ReasonMissing
from annotation.services.assignments.assignments import claim_next
from annotation.services.checks.pauses import (
    AlreadyPaused,
    NotPaused,
    lift,
    pause,
    pause_by_rules,
)
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import acknowledge
from annotation.services.projects.prompts import add_prompts
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck

HOUR = timedelta(hours=1)


def claim(annotator, project, now=NOW):
    return claim_next(annotator=annotator, project=project, now=now, generator=luck())


def rules(now=NOW):
    return pause_by_rules(now=now, active_within=HOUR)


@pytest.fixture
def worked(alice, project, a_prompt):
    """Accepted answers of alice's, all to the same four images."""
    prompt = a_prompt(images=4)
    against = prompt.assignments.get()
    order = list(prompt.generations.values_list("pk", flat=True))

    def work(count, *, seconds=60, kind="ordinary", agreed=3.0, best=None, at=NOW):
        keys = {f"{at:%H%M}-{project.prompts.count()}-{number}": "a fox" for number in range(count)}
        prompts = add_prompts(project=project, texts=keys)[0].values()
        answers = Assignment.objects.bulk_create(
            Assignment(
                project=project,
                prompt=prompt,
                annotator=alice,
                kind=kind,
                against=against if kind == "gold" else None,
                state="accepted",
                order=order,
                leased_until=at,
                claimed_at=at - timedelta(seconds=seconds),
                submitted_at=at,
                accepted_at=at,
            )
            for prompt in prompts
        )
        if kind == "gold":
            Check.objects.bulk_create(
                Check(assignment=answer, agreed=agreed, pairs=6, compared_at=at) for answer in answers
            )
        if best is not None:
            rankings = Ranking.objects.bulk_create(Ranking(assignment=answer) for answer in answers)
            Placement.objects.bulk_create(
                Placement(ranking=ranking, generation_id=pk, slot=1 if pk == order[best] else 2 + index % 2)
                for ranking in rankings
                for index, pk in enumerate(order)
            )

    return work


def ruled(project, **settings):
    for name, value in settings.items():
        setattr(project, name, value)
    project.save()


def test_the_paused_get_no_work_until_the_pause_is_lifted(alice, rita, project, a_prompt):
    a_prompt()
    paused = pause(annotator=alice, project=project, reason="let us talk", by=rita, now=NOW)
    assert claim(alice, project) is None
    lift(pause=paused, by=rita, now=NOW)
    assert claim(alice, project) is not None
    with pytest.raises(NotPaused):
        lift(pause=paused, by=rita, now=NOW)


def test_a_pause_has_a_reason_and_there_is_one_at_a_time(alice, rita, project):
    with pytest.raises(ReasonMissing):
        pause(annotator=alice, project=project, reason=" ", by=rita, now=NOW)
    pause(annotator=alice, project=project, reason="hasty", by=rita, now=NOW)
    with pytest.raises(AlreadyPaused):
        pause(annotator=alice, project=project, reason="again", by=rita, now=NOW)


def test_a_task_in_hand_may_still_be_submitted(alice, rita, project, a_prompt):
    a_prompt()
    held = claim(alice, project)
    pause(annotator=alice, project=project, reason="hasty", by=rita, now=NOW)
    submit_judgement(assignment=held, annotator=alice, judgement=answer_for(held), now=NOW, generator=luck())
    assert Assignment.objects.get(pk=held.pk).submitted_at == NOW


def test_who_agrees_too_little_with_known_answers_is_paused(alice, project, worked):
    ruled(project, gold_floor=0.6, pause_window=5)
    worked(4, kind="gold", agreed=3.0)
    assert rules() == []
    worked(1, kind="gold", agreed=3.0)
    (paused,) = rules()
    assert (paused.user, paused.rule, paused.paused_by) == (alice, "gold", None)
    assert "agreed with it on 50 % of 30 pairs" in paused.reason
    assert rules() == []


def test_who_agrees_enough_is_not_and_only_the_latest_answers_count(project, worked):
    ruled(project, gold_floor=0.6, pause_window=5)
    worked(5, kind="gold", agreed=1.0, at=NOW - HOUR / 2)
    worked(5, kind="gold", agreed=4.0)
    assert rules() == []


def test_who_is_quicker_than_anybody_can_look_is_paused(project, worked):
    ruled(project, seconds_per_image=2.0, pause_window=6)
    worked(3, seconds=60)
    worked(3, seconds=7)
    assert rules() == []
    worked(1, seconds=7, at=NOW + HOUR / 2)
    (paused,) = rules(NOW + HOUR / 2)
    assert paused.rule == "speed"
    assert "4 of your last 6 answers took less than 2 seconds an image" in paused.reason


def test_who_prefers_one_place_on_the_page_is_paused(project, worked):
    ruled(project, pauses_place_bias=True)
    for best in range(4):
        worked(6, best=best)
    assert rules() == []
    worked(30, best=0)
    (paused,) = rules()
    assert paused.rule == "place"


def test_a_project_without_rules_pauses_nobody(project, worked):
    worked(30, seconds=1, best=0)
    worked(20, kind="gold", agreed=0.0)
    assert rules() == []


def test_after_a_pause_was_lifted_only_later_answers_count(rita, project, worked):
    ruled(project, seconds_per_image=2.0, pause_window=5)
    worked(5, seconds=1)
    (paused,) = rules()
    lift(pause=paused, by=rita, now=NOW + HOUR / 4)
    assert rules(NOW + HOUR / 4) == []
    worked(5, seconds=1, at=NOW + HOUR / 2)
    assert len(rules(NOW + HOUR / 2)) == 1


def test_the_paused_and_the_inspectors_read_the_reason(alice, rita, project, worked, a_prompt):
    acknowledge(guideline=project.guidelines.first(), user=alice)
    ruled(project, seconds_per_image=2.0, pause_window=5)
    worked(5, seconds=1)
    rules()
    told = "5 of your last 5 answers took less than 2 seconds an image."
    for page in ("/", f"/work/{project.slug}/"):
        assert told in as_(alice).get(page).text
    for page in ("/inspect/", f"/inspect/{project.slug}/people/"):
        assert told in as_(rita).get(page).text


def test_inspectors_pause_and_lift_on_the_quality_page(alice, bob, rita, project):
    page, hers = f"/inspect/{project.slug}/people/", as_(rita)
    assert hers.post(f"{page}{alice.pk}/pause/", {"reason": " "}).status_code == 422
    assert hers.post(f"{page}{alice.pk}/pause/", {"reason": "let us talk"}).url == page
    assert hers.post(f"{page}{alice.pk}/pause/", {"reason": "again"}).status_code == 409
    assert Pause.objects.in_force().get().paused_by == rita
    assert "let us talk" in hers.get(page).text
    assert as_(alice).post(f"{page}{alice.pk}/lift/").status_code == 404
    assert hers.post(f"{page}{alice.pk}/lift/").url == page
    assert hers.post(f"{page}{alice.pk}/lift/").status_code == 409
    assert hers.post(f"{page}{bob.pk}/lift/").status_code == 409
    assert hers.post(f"{page}{rita.pk}/pause/", {"reason": "x"}).status_code == 404
