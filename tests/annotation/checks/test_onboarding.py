"""Before the first task: training with feedback, a test, and who is given work after it."""

import pytest

from annotation.models import Assignment, Qualification
from annotation.services.actions import ReasonMissing
from annotation.services.assignments.assignments import claim_next
from annotation.services.checks.onboarding import (
    NotTested,
    claim_lesson,
    decide_by_hand,
    decide_qualification,
)
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import acknowledge
from tests.annotation.posts import address, filled_in
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck

HTMX = {"HX-Request": "true"}


@pytest.fixture
def testing(project, alice):
    """alice's project gives work to the qualified only."""
    project.requires_qualification, project.qualification_threshold = True, 0.7
    project.save()
    acknowledge(guideline=project.guidelines.first(), user=alice)
    return project


def lesson(annotator, project):
    return claim_lesson(annotator=annotator, project=project, now=NOW, generator=luck())


def learn(annotator, project, slots):
    task = lesson(annotator, project)
    judgement = answer_for(task, slots=slots)
    submit_judgement(assignment=task, annotator=annotator, judgement=judgement, now=NOW, generator=luck())
    task.refresh_from_db()
    return task


def test_training_comes_before_the_test_and_each_item_once(testing, alice, a_gold):
    test = a_gold(testing, purpose="qualification")
    training = a_gold(testing, purpose="training")
    a_gold(testing)
    assert lesson(alice, testing) == lesson(alice, testing)
    done = [learn(alice, testing, [1, 2, 3]) for _ in range(2)]
    assert [(task.kind, task.prompt) for task in done] == [
        ("training", training.prompt),
        ("qualification", test.prompt),
    ]
    assert {task.state for task in done} == {"accepted"}
    assert lesson(alice, testing) is None


def test_enough_agreement_with_the_researchers_qualifies(testing, alice, a_gold, a_prompt):
    for _ in range(2):
        a_gold(testing, purpose="qualification", slots=[1, 2, 3])
    a_prompt()
    assert claim_next(annotator=alice, project=testing, now=NOW, generator=luck()) is None
    learn(alice, testing, [1, 2, 3])
    with pytest.raises(NotTested):
        decide_qualification(annotator=alice, project=testing, now=NOW)
    learn(alice, testing, [1, 3, 2])
    decided = decide_qualification(annotator=alice, project=testing, now=NOW)
    assert (decided.outcome, decided.agreed, decided.pairs) == ("qualified", 5, 6)
    assert decide_qualification(annotator=alice, project=testing, now=NOW) == decided
    assert claim_next(annotator=alice, project=testing, now=NOW, generator=luck()).kind == "ordinary"


def test_too_little_agreement_refuses_and_training_does_not_count(testing, alice, a_gold, a_prompt):
    a_gold(testing, purpose="training", slots=[1, 2, 3])
    a_gold(testing, purpose="qualification", slots=[1, 2, 3])
    a_prompt()
    learn(alice, testing, [1, 2, 3])
    learn(alice, testing, [2, 1, 3])
    assert decide_qualification(annotator=alice, project=testing, now=NOW).outcome == "refused"
    assert claim_next(annotator=alice, project=testing, now=NOW, generator=luck()) is None


def test_somebody_may_decide_otherwise_by_hand_with_a_reason(testing, alice, rita, a_gold, a_prompt):
    a_prompt()
    decision = {"annotator": alice, "project": testing, "by": rita, "now": NOW}
    with pytest.raises(ReasonMissing):
        decide_by_hand(outcome="qualified", reason=" ", **decision)
    decide_by_hand(outcome="qualified", reason="worked here before", **decision)
    assert claim_next(annotator=alice, project=testing, now=NOW, generator=luck()) is not None
    decide_by_hand(outcome="refused", reason="shared the account", **decision)
    assert Qualification.objects.count() == 2
    page = as_(alice).get(f"/work/{testing.slug}/").text
    assert "shared the account" in page


def test_lessons_are_no_preferences_and_nobody_inspects_them(testing, alice, a_gold):
    a_gold(testing, purpose="training")
    task = learn(alice, testing, [1, 2, 3])
    assert task.state == "accepted"
    assert not Assignment.objects.finished().exists()


def test_a_training_item_is_followed_by_the_researchers_answer(testing, alice, bob, a_gold):
    a_gold(testing, purpose="training", slots=[1, 2, 3], note="The second has three tails.")
    hers = as_(alice)
    page = hers.get(f"/work/{testing.slug}/").text
    assert "Training, 1 of 1." in page
    task = Assignment.objects.get(annotator=alice)
    fed = hers.post(address(task), filled_in(task, slots=[1, 2, 3]), headers=HTMX, follow=True)
    assert 'data-state="feedback"' in fed.text
    assert "The second has three tails." in fed.text
    assert fed.text.count("Researchers: slot") == 3
    assert "<html" not in fed.text
    assert "<html" in hers.get(f"{address(task)}feedback/").text
    assert as_(bob).get(f"{address(task)}feedback/").status_code == 404


def test_the_test_gives_no_feedback_and_ends_with_work_or_without(testing, alice, a_gold, a_prompt):
    a_gold(testing, purpose="qualification", slots=[1, 2, 3])
    prompt = a_prompt()
    hers = as_(alice)
    assert "Test, 1 of 1." in hers.get(f"/work/{testing.slug}/").text
    task = Assignment.objects.get(annotator=alice)
    assert hers.get(f"{address(task)}feedback/").status_code == 404
    by_id = dict(zip(sorted(task.order), (1, 2, 3), strict=True))
    slots = [by_id[pk] for pk in task.order]
    page = hers.post(address(task), filled_in(task, slots=slots), headers=HTMX, follow=True)
    assert "You passed the test" in page.text
    assert prompt.text in page.text


def test_who_failed_is_told_the_figures(testing, alice, a_gold):
    a_gold(testing, purpose="qualification", slots=[1, 2, 3])
    learn(alice, testing, [3, 2, 1])
    page = as_(alice).get(f"/work/{testing.slug}/", follow=True).text
    assert "agreed with the researchers on 0 % of 3 pairs" in page
    assert "70 % is asked for" in page
    assert "not qualified" in as_(alice).get("/").text


def test_without_items_the_test_is_not_ready(testing, alice):
    assert "The test is not ready yet" in as_(alice).get(f"/work/{testing.slug}/").text


def test_inspectors_decide_on_the_quality_page(testing, alice, rita, ada):
    page = f"/inspect/{testing.slug}/people/"
    hers = as_(rita)
    assert "not tested yet" in hers.get(page).text
    decide = f"{page}{alice.pk}/decide/"
    assert hers.post(decide, {"outcome": "qualified", "reason": ""}).status_code == 422
    assert hers.post(decide, {"outcome": "qualified", "reason": "known"}).url == page
    assert Qualification.objects.get().decided_by == rita
    assert hers.post(f"{page}{ada.pk}/decide/", {"outcome": "refused", "reason": "x"}).status_code == 404
    assert as_(alice).post(decide, {"outcome": "qualified", "reason": "me"}).status_code == 404
