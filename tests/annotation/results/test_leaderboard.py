"""The leaderboard of generators: how they stand, and what there is too little to tell."""

import pytest
from django.test import Client

from annotation.selectors.results.leaderboard import project_leaderboard
from annotation.services.assignments.priorities import record_scores
from annotation.statistics.estimates import NotEnough
from tests.rankings import add_images, rank_images


def as_(person):
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def compared(project, alice):
    """30 prompts: "good" always before "bad"; "fair" before "bad" on 20 of them, always after "good"."""
    images = add_images(project, 30, ["bad", "fair", "good", "poor"])
    rank_images(
        alice, [(one, [4, 2, 1, 5] if number < 20 else [2, 3, 1, 5]) for number, one in enumerate(images)]
    )
    return images


def test_generators_stand_by_what_people_preferred(compared, project):
    [board] = project_leaderboard(project).boards
    rows = board.standings
    assert [row.generator for row in rows] == ["good", "fair", "bad", "poor"]
    assert [(row.standing.wins, row.standing.losses) for row in rows] == [
        (90, 0),
        (50, 40),
        (40, 50),
        (0, 90),
    ]
    assert (board.prompts, rows[0].standing.strength.count) == (30, 90)
    for row in rows:
        assert row.standing.strength.low <= row.standing.strength.value <= row.standing.strength.high
        assert 0 <= row.whisker.low <= row.whisker.value <= row.whisker.high <= 100


def test_the_reward_models_mean_scores_stand_beside_with_their_rank_correlation(compared, project):
    means = {"good": 2.0, "fair": 1.0, "poor": 0.0, "bad": -1.0}
    record_scores(
        scores={image.pk: means[image.generator] for one in compared for image in one}, scored_by="round 1"
    )
    found = project_leaderboard(project)
    [board] = found.boards
    assert found.model == "round 1"
    assert {row.generator: row.score for row in board.standings} == means
    assert board.correlation == pytest.approx(0.8)  # the last two change places: 1 - 6 * 2 / (4 * 15)


def test_without_scores_there_is_no_correlation(compared, project):
    [board] = project_leaderboard(project).boards
    assert [row.score for row in board.standings] == [None] * 4
    assert board.correlation is None


def test_generators_on_too_few_prompts_are_not_ranked(project, alice, ada):
    rank_images(alice, [(one, [1, 2]) for one in add_images(project, 9, ["one", "two"])])
    [board] = project_leaderboard(project).boards
    assert board.standings == NotEnough("9 of 10 prompts")
    page = as_(ada).get(f"/projects/{project.slug}/leaderboard/").text
    assert "Not enough data: 9 of 10 prompts" in page


def test_a_generator_that_met_no_other_is_named(project, alice):
    rank_images(alice, [(one, [1, 2]) for one in add_images(project, 12, ["lonely", "lonely"])])
    found = project_leaderboard(project)
    assert (found.boards, found.alone) == ([], ["lonely"])


def test_the_page_shows_the_board_to_inspectors_and_admins_alone(compared, project, ada, rita, alice, eve):
    path = f"/projects/{project.slug}/leaderboard/"
    for person in (ada, rita):
        page = as_(person).get(path).text
        assert page.index("good") < page.index("fair") < page.index("poor")
        assert ">90<" in page
    for person in (alice, eve):
        assert as_(person).get(path).status_code == 404


def test_the_page_of_a_project_without_answers_says_so(project, ada):
    page = as_(ada).get(f"/projects/{project.slug}/leaderboard/").text
    assert "No accepted answer compares images by two generators yet" in page
