"""The agreement page: who is compared with whom, on which answers, and who may see it."""

import re

import pytest
from django.test import Client

from annotation.models import Assignment, Membership, Rating, User
from annotation.selectors.results.agreement import project_agreement, rating_agreement, read_opinions
from annotation.services.assignments.priorities import record_scores
from annotation.services.projects.projects import add_member
from annotation.statistics.estimates import Estimate, NotEnough
from tests.rankings import add_images, rank_images

GENERATORS = ["a", "b", "c"]
UP, DOWN = [1, 2, 3], [3, 2, 1]


def as_(person):
    client = Client()
    client.force_login(person)
    return client


def everybody(images, slots):
    return [(of_prompt, slots) for of_prompt in images]


def figure(project, row, column, measure="strict"):
    found = project_agreement(read_opinions(project), measure)
    return dict(found.table)[row][found.columns.index(column)]


@pytest.fixture
def judged(project, alice, bob, rita):
    """20 prompts: alice and bob agree on 15 of them, and rita, who inspects, is of alice's opinion."""
    images = add_images(project, 20, GENERATORS)
    rank_images(alice, everybody(images, UP), {image.pk: 5 for one in images for image in one})
    rank_images(bob, everybody(images[:15], UP) + everybody(images[15:], DOWN))
    rank_images(rita, everybody(images, UP))
    return images


def test_annotators_are_compared_with_each_other_and_with_those_who_are_none(judged, project):
    between = figure(project, "Annotators", "Annotators")
    assert isinstance(between, Estimate)
    assert (between.value, between.prompts, between.count) == (0.75, 20, 60)
    assert 0.5 < between.low < 0.75 < between.high < 0.95
    assert figure(project, "Researchers", "Annotators").value == (1 + 0.75) / 2
    assert figure(project, "Annotators", "Researchers") == figure(project, "Researchers", "Annotators")
    assert figure(project, "Annotators", "Annotators", "tau").value == pytest.approx((15 - 5) / 20)


def test_one_researcher_has_nobody_to_be_compared_with_and_the_table_says_so(judged, project):
    assert figure(project, "Researchers", "Researchers") == NotEnough("0 of 10 prompts")
    assert figure(project, "Ensemble", "Ensemble") is None


def test_the_ensemble_of_two_who_disagree_ties(judged, project):
    assert figure(project, "Researchers", "Ensemble").value == 1  # of the pairs it does not tie
    assert figure(project, "Researchers", "Ensemble", "half").value == (15 + 5 / 2) / 20


def test_imported_answers_and_those_of_former_members_are_annotators(judged, project, bob):
    project.memberships.filter(user=bob).delete()
    assert figure(project, "Annotators", "Annotators").value == 0.75


def test_answers_not_accepted_do_not_count(project, alice, bob):
    images = add_images(project, 20, GENERATORS)
    rank_images(alice, everybody(images, UP))
    rank_images(bob, everybody(images[:10], UP))
    rank_images(bob, everybody(images[10:], DOWN), state=Assignment.State.REJECTED)
    assert figure(project, "Annotators", "Annotators").value == 1
    assert figure(project, "Annotators", "Annotators").prompts == 10


def test_gold_tasks_and_references_count_and_repeated_or_taught_answers_do_not(project, alice, ada):
    images = add_images(project, 20, GENERATORS)
    rank_images(ada, everybody(images[:12], UP), kind=Assignment.Kind.REFERENCE)
    reference = Assignment.objects.first()
    rank_images(alice, everybody(images[:12], UP), kind=Assignment.Kind.GOLD, against=reference)
    rank_images(alice, everybody(images[:12], DOWN), kind=Assignment.Kind.REPEAT, against=reference)
    rank_images(alice, everybody(images[12:], DOWN), kind=Assignment.Kind.TRAINING, against=reference)
    found = figure(project, "Researchers", "Annotators")
    assert (found.value, found.prompts) == (1, 12)


def test_another_projects_answers_do_not_count(judged, project, a_project):
    other = a_project()
    assert read_opinions(other).panels == []
    assert project_agreement(read_opinions(other), "strict").answers == 0


def test_the_reward_model_is_compared_where_it_has_not_learned_from_the_prompt(judged, project):
    scores = {image.pk: -place for one in judged for image, place in zip(one, UP, strict=True)}
    record_scores(
        scores=scores, scored_by="round 1", unseen={image.pk for one in judged[8:] for image in one}
    )
    found = figure(project, "Annotators", "Reward model")
    assert (found.prompts, found.value) == (12, (12 + 7) / 24)
    record_scores(scores=scores, scored_by="round 1")
    assert figure(project, "Annotators", "Reward model") == NotEnough("0 of 10 prompts")


def test_scores_of_two_models_are_not_mixed(judged, project):
    for one in judged:
        first, *rest = [image.pk for image in one]
        record_scores(scores={first: 9.0}, scored_by="old", unseen={first})
        record_scores(scores={pk: -pk for pk in rest}, scored_by="new", unseen=set(rest))
    opinions = read_opinions(project)
    assert opinions.model == "new"
    assert figure(project, "Researchers", "Reward model").count == 20  # one pair a prompt, not three


def test_each_person_stands_by_themselves_with_their_reliability(judged, project):
    alice, bob, rita = project_agreement(read_opinions(project), "strict").people
    assert [one.username for one in (alice, bob, rita)] == ["alice", "bob", "rita"]
    assert [one.annotates for one in (alice, bob, rita)] == [True, True, False]
    assert alice.figures[0].value == 1
    assert bob.figures[0].value == 0.75
    assert alice.right > bob.right > 0.5
    assert bob.answers == 20


def test_a_person_who_shares_too_few_prompts_has_no_reliability(project, alice, bob):
    images = add_images(project, 12, GENERATORS)
    rank_images(alice, everybody(images, UP))
    rank_images(bob, everybody(images[:9], UP))
    assert [one.right for one in project_agreement(read_opinions(project), "strict").people] == [None, None]


def test_ratings_have_an_alpha_for_each_scale(project, alice, bob):
    images = add_images(project, 20, GENERATORS)
    stars = {
        image.pk: 1 + (7 * number + place) % 7
        for number, one in enumerate(images)
        for place, image in enumerate(one)
    }
    rank_images(alice, everybody(images, UP), stars)
    rank_images(bob, everybody(images, UP), {pk: min(star + pk % 2, 7) for pk, star in stars.items()})
    axes = rating_agreement(project)
    assert [one.axis.name for one in axes] == ["overall", "alignment", "fidelity"]
    for one in axes:
        assert 0.5 < one.alpha.low < one.alpha.value < one.alpha.high < 1
        assert one.alpha.count == 60


def test_images_without_a_point_on_an_axis_are_left_out_of_its_alpha(project, alice, bob):
    images = add_images(project, 20, GENERATORS)
    stars = {image.pk: 1 + image.pk % 7 for one in images for image in one}
    for person in (alice, bob):
        rank_images(person, everybody(images, UP), stars)
    Rating.objects.filter(assignment__annotator=bob, generation=images[0][0]).update(fidelity=None)
    Rating.objects.update(alignment=None)
    overall, alignment, fidelity = (one.alpha for one in rating_agreement(project))
    assert (overall.count, fidelity.count) == (60, 59)
    assert alignment == NotEnough("0 of 10 prompts")


def test_without_ratings_there_is_no_alpha(project, alice):
    rank_images(alice, everybody(add_images(project, 2, GENERATORS), UP))
    assert rating_agreement(project) == []


def test_the_page_shows_the_figures_by_each_measure(judged, project, ada):
    page = as_(ada).get(f"/projects/{project.slug}/agreement/").text
    assert "75.0 %" in page
    assert "not enough data" in page
    assert re.search("0 of 10 prompts", page)
    assert "0.50" in as_(ada).get(f"/projects/{project.slug}/agreement/?by=tau").text
    assert "75.0 %" in as_(ada).get(f"/projects/{project.slug}/agreement/?by=nonsense").text


def test_the_page_of_a_project_without_answers_says_so(project, ada):
    assert "nothing to compare" in as_(ada).get(f"/projects/{project.slug}/agreement/").text


def test_inspectors_see_it_without_ways_to_pages_of_admins_and_annotators_do_not(
    judged, project, ada, rita, alice, eve
):
    path = f"/projects/{project.slug}/agreement/"
    page = as_(rita).get(path).text
    assert "75.0 %" in page
    assert f"/projects/{project.slug}/settings/" not in page
    assert f"/projects/{project.slug}/settings/" in as_(ada).get(path).text
    assert path in as_(rita).get("/inspect/").text
    assert as_(alice).get(path).status_code == 404
    assert as_(eve).get(path).status_code == 404
    assert Client().get(path).status_code == 302


def test_the_page_costs_few_queries_however_many_answers_there_are(
    judged, project, ada, django_assert_max_num_queries
):
    carol = User.objects.create_user("carol")
    add_member(project=project, user=carol, role=Membership.Role.ANNOTATOR)
    rank_images(carol, everybody(judged, DOWN))
    client = as_(ada)
    with django_assert_max_num_queries(12):
        client.get(f"/projects/{project.slug}/agreement/")
