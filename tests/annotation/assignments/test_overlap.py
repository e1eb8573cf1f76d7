"""More opinions: only where those that came in differ, and never more than the project allows."""

import pytest

from annotation.models import Assignment, Membership, Prompt, User
from annotation.services.assignments.assignments import claim_next
from annotation.services.assignments.overlap import ask_where_opinions_differ
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.judgements.reviews import send_back
from annotation.services.projects.projects import add_member
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, answer_for, luck


@pytest.fixture
def differing(a_project):
    """Two opinions a prompt, up to two more where they agree on less than 70 %."""
    return a_project(opinions_per_prompt=2, extra_opinions=2, agreement_wanted=0.7, review_share=0.0)


@pytest.fixture
def judge(differing):
    """A new person's answer to the next prompt."""

    def answer(slots):
        person = User.objects.create_user(f"judge-{User.objects.count()}")
        add_member(project=differing, user=person, role=Membership.Role.ANNOTATOR)
        task = claim_next(annotator=person, project=differing, now=NOW, generator=luck())
        judgement = answer_for(task, slots=slots)
        submit_judgement(assignment=task, annotator=person, judgement=judgement, now=NOW, generator=luck())
        return task

    return answer


def open_count():
    return Assignment.objects.filter(state="open").count()


def test_where_opinions_agree_nobody_else_is_asked(differing, judge, a_prompt):
    a_prompt(project=differing)
    judge([1, 2, 3])
    judge([1, 2, 3])
    assert ask_where_opinions_differ(project=differing) == []
    prompt = Prompt.objects.get()
    assert (prompt.agreement, prompt.opinions_compared) == (1.0, 2)


def test_where_they_differ_one_more_is_asked_at_a_time_up_to_the_most(differing, judge, a_prompt):
    a_prompt(project=differing)
    judge([1, 2, 3])
    judge([3, 2, 1])
    for _ in range(2):
        assert len(ask_where_opinions_differ(project=differing)) == 1
        assert ask_where_opinions_differ(project=differing) == []  # it is under way
        judge([3, 1, 2])
    assert ask_where_opinions_differ(project=differing) == []
    assert Prompt.objects.get().opinions_compared == 4


def test_one_more_opinion_that_settles_it_is_the_last(differing, judge, a_prompt):
    a_prompt(project=differing)
    judge([1, 2, 2])
    judge([2, 1, 1])
    ask_where_opinions_differ(project=differing)
    type(differing).objects.update(agreement_wanted=0.3)
    judge([1, 2, 2])
    assert ask_where_opinions_differ(project=differing) == []
    assert open_count() == 0


def test_breadth_first_a_further_opinion_waits_until_every_prompt_has_had_its_own(differing, judge, a_prompt):
    differing.task_order = "breadth"
    differing.save()
    disputed, waiting = a_prompt(project=differing), a_prompt(project=differing)
    for slots in ([1, 2, 3], [1, 2, 3], [3, 2, 1]):  # on the first, the second, and the first again
        judge(slots)
    assert [assignment.prompt for assignment in ask_where_opinions_differ(project=differing)] == [disputed]
    assert [judge([1, 2, 3]).prompt for _ in range(2)] == [waiting, disputed]


def test_opinions_that_are_still_out_are_waited_for(differing, judge, a_prompt):
    a_prompt(project=differing)
    judge([1, 2, 3])
    assert ask_where_opinions_differ(project=differing) == []
    assert Prompt.objects.get().agreement is None


def test_an_answer_sent_back_is_measured_anew_with_its_replacement(differing, judge, a_prompt, ada):
    a_prompt(project=differing)
    judge([1, 2, 3])
    second = judge([1, 2, 3])
    ask_where_opinions_differ(project=differing)
    send_back(assignment=second, inspector=ada, reason="hasty", now=NOW)
    assert ask_where_opinions_differ(project=differing) == []
    judge([3, 2, 1])
    assert len(ask_where_opinions_differ(project=differing)) == 1
    page = as_(ada).get(f"/projects/{differing.slug}/prompts/{second.prompt_id}/").text
    assert "agree on 0 %" in page


def test_gold_answers_are_no_opinions_on_a_prompt(differing, judge, a_prompt, a_gold):
    a_gold(differing)
    assert ask_where_opinions_differ(project=differing) == []
