"""What another annotation server let through when it was probed over HTTP; here each is refused.

The probes are those of Label Studio 1.23.2, which took every one of them but the first two.
"""

from collections import Counter

import pytest
from django.test import Client

from annotation.models import Assignment, Ranking, Rating, User
from annotation.services.assignments.assignments import claim_next
from annotation.services.judgements.judgements import submit_judgement
from annotation.services.projects.projects import acknowledge, add_member
from tests.annotation.assignments.test_assignments import in_threads
from tests.annotation.posts import address, begin, filled_in
from tests.annotation.test_api import signed_in
from tests.cast import NOW, answer_for, luck

State = Assignment.State


@pytest.fixture
def crowd(project):
    """So many annotators, who have read the guideline."""

    def make(people):
        found = [User.objects.create_user(f"person-{number}") for number in range(people)]
        for person in found:
            add_member(project=project, user=person, role="annotator")
            acknowledge(guideline=project.guidelines.first(), user=person)
        return found

    return make


def claim(annotator, project):
    return claim_next(annotator=annotator, project=project, now=NOW, generator=luck())


def test_of_two_opinions_wanted_the_third_person_gets_another_prompt(a_project, a_prompt, alice, bob, rita):
    project = a_project(opinions_per_prompt=2)
    first, second = a_prompt(project=project), a_prompt(project=project)
    given = [claim(person, project).prompt for person in (alice, bob, rita)]
    assert given == [first, first, second]


@pytest.mark.django_db(transaction=True)
def test_thirty_two_people_racing_for_a_hundred_prompts_give_each_its_opinions_and_no_more(
    a_project, a_prompt
):
    project = a_project(opinions_per_prompt=2, review_share=0.5)
    prompts = {a_prompt(2, project=project).pk for _ in range(100)}
    people = [User.objects.create_user(f"racer-{number}") for number in range(32)]

    def work(person):
        done = 0
        while task := claim(person, project):
            submit_judgement(
                assignment=task, annotator=person, judgement=answer_for(task), now=NOW, generator=luck()
            )
            done += 1
        return done

    assert sum(in_threads(work, people, workers=32)) == 200
    given = list(Assignment.objects.values_list("prompt", "annotator"))
    assert Counter(prompt for prompt, _ in given) == dict.fromkeys(prompts, 2)
    assert len(set(given)) == 200  # nobody twice on one prompt
    assert Ranking.objects.count() == 200


@pytest.mark.django_db(transaction=True)
def test_sixteen_people_who_ask_at_once_over_http_get_sixteen_prompts(project, a_prompt, crowd):
    for _ in range(16):
        a_prompt(2)
    clients = []
    for person in crowd(16):
        client = Client()
        client.force_login(person)
        clients.append(client)
    answered = in_threads(lambda client: client.get(f"/work/{project.slug}/").status_code, clients)
    assert answered == [200] * 16
    held = Assignment.objects.filter(state=State.LEASED)
    assert len(set(held.values_list("prompt"))) == len(set(held.values_list("annotator"))) == 16


def test_the_same_person_answers_a_prompt_once(client, alice, project, a_prompt):
    a_prompt()
    task = begin(client, alice, project)
    assert client.post(address(task), filled_in(task)).status_code == 302
    assert client.post(address(task), filled_in(task)).status_code == 302  # stored already
    assert client.post(address(task), filled_in(task, slots=[2, 1, 3], overall=[4] * 3)).status_code == 409
    assert Ranking.objects.count() == 1


def test_nobody_answers_beyond_the_opinions_wanted(client, alice, bob, project, a_prompt):
    a_prompt()
    task = begin(client, alice, project)
    client.force_login(bob)
    assert client.post(address(task), filled_in(task)).status_code == 404
    client.force_login(alice)
    assert client.post(address(task), filled_in(task)).status_code == 302
    client.force_login(bob)
    assert client.post(address(task), filled_in(task)).status_code == 404
    assert Ranking.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"rating-1-overall": "99"},
        {"rating-1-overall": "0"},
        {"slot-1": "6"},
        {"slot-1": ["1", "x"]},
        {"slot-3": None},
        {"rating-2-problems": None},
        {"category": "nonsense"},
        {"issues": ["none", "violent"]},
    ],
)
def test_a_page_takes_no_answer_off_its_scales_or_with_gaps(client, alice, project, a_prompt, change):
    a_prompt()
    task = begin(client, alice, project)
    assert client.post(address(task), filled_in(task, **change)).status_code == 422
    assert not Rating.objects.exists()


def test_a_ranking_with_a_doubled_and_an_unknown_image_is_refused(client, alice, project, a_prompt):
    a_prompt()
    begin(client, alice, project)
    base = f"/api/v1/projects/{project.slug}"
    claimed = client.post(f"{base}/tasks/next/").json()["claim"]
    rating = {"overall": 4, "alignment": 4, "fidelity": 4, "problems": []}
    label = {"category": "animals", "intent_unclear": False, "issues": []}

    def post(numbers, **changes):
        images = [{"number": n, "slot": 1 + n % 5, "rating": rating | changes} for n in numbers]
        body = {"claim": claimed, "label": label, "images": images}
        return client.post(f"{base}/answers/", body, content_type="application/json").status_code

    assert (
        post([1, 1, 2]) == post([1, 2, 9]) == post([1, 2]) == post([]) == post([1, 2, 3], overall=99) == 400
    )
    assert not Ranking.objects.exists()
    assert post([1, 2, 3]) == 201


def test_an_empty_answer_is_refused(client, alice, project, a_prompt):
    a_prompt()
    task = begin(client, alice, project)
    refused = client.post(address(task), {"claim": task.claim})
    assert refused.status_code == 422
    for said in ("Choose what the prompt is about.", "Image 1 is not rated", "Image 3 is in no slot."):
        assert said in refused.content.decode()
    assert not Ranking.objects.exists()


def test_nobody_changes_or_reads_anothers_answer(client, alice, bob, project, a_prompt):
    a_prompt()
    acknowledge(guideline=project.guidelines.first(), user=bob)
    task = begin(client, alice, project)
    client.post(address(task), filled_in(task))
    base = f"/api/v1/projects/{project.slug}"
    other = signed_in(bob)
    assert other.get(f"{base}/answers/").json()["results"] == []
    body = {"claim": task.claim, "version": 1, "images": [{"number": 1, "slot": 1}]}
    assert other.put(f"{base}/answers/", body, format="json").status_code in (400, 404)
    assert other.get(f"{base}/assignments/").status_code == 404
    assert other.get(f"/inspect/{task.pk}/").status_code in (302, 404)
    client.force_login(bob)
    for path in (f"/inspect/{task.pk}/", f"/inspect/{task.pk}/accept/", f"{address(task)}feedback/"):
        assert client.get(path).status_code in (404, 405)
    assert "alice" not in client.get(f"/work/{project.slug}/").content.decode()


def test_no_member_deletes_a_project(ada, alice, project, a_prompt):
    a_prompt()
    for person in (alice, ada):
        client = signed_in(person)
        for path in ("", "prompts/", "answers/", "assignments/", "images/"):
            assert client.delete(f"/api/v1/projects/{project.slug}/{path}").status_code in (404, 405)
    project.refresh_from_db()
    assert project.prompts.exists()


def test_words_that_postgres_cannot_hold_are_refused(ada, alice, project):
    client = signed_in(ada)
    base = f"/api/v1/projects/{project.slug}"
    for query in ("state=%00", "annotator=%00", "prompt_id=%00"):
        for path in ("answers", "assignments", "images"):
            refused = client.get(f"{base}/{path}/?{query}")
            assert refused.status_code == 400
            assert "NUL" in refused.json()["detail"]
    huge = "9" * 5000
    for path in (
        f"/inspect/{huge}/",
        f"/inspect/{'9' * 30}/",
        f"/projects/{project.slug}/prompts/{'9' * 30}/",
    ):
        page = Client()
        page.force_login(ada)
        assert page.get(path).status_code == 404
    posted = Client()
    posted.force_login(ada)
    assert posted.post(f"/projects/{project.slug}/references/answer/", {"prompt": huge}).status_code == 404
