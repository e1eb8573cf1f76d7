"""The bias report: places on the page counted by hand beside what the database counts."""

import csv
from itertools import permutations

import pytest
from rest_framework.test import APIClient

from annotation.models import Assignment
from annotation.selectors.results.positions import position_figures
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW
from tests.rankings import add_images, rank_images

ORDERS = list(permutations(range(3)))
SLOTS = [(1, 2, 2), (2, 1, 3), (1, 1, 2)]


@pytest.fixture
def shown(project, alice):
    """Twelve rankings of three images in every order, two of each, after one whose order nobody knows."""
    images = add_images(project, 13, ["a", "b", "c"])
    rank_images(alice, [(of_prompt, SLOTS[n % 3]) for n, of_prompt in enumerate(images)])
    for n, answer in enumerate(Assignment.objects.order_by("pk")):
        if n < 12:
            answer.order = [answer.order[i] for i in ORDERS[n % 6]]
            answer.claimed_at = NOW
            answer.save()
    return project


def counted(project):
    """Place -> wins and pairs, with a tie as half: each pair of each ranking looked at."""
    wins, pairs = [0.0] * 3, [0] * 3
    for answer in Assignment.objects.filter(project=project, claimed_at__isnull=False):
        slot_of = dict(answer.ranking.placements.values_list("generation_id", "slot"))
        slots = [slot_of[pk] for pk in answer.order]
        for i, j in permutations(range(3), 2):
            wins[i] += 1.0 if slots[i] < slots[j] else 0.5 if slots[i] == slots[j] else 0.0
            pairs[i] += 1
    return [won / all for won, all in zip(wins, pairs, strict=True)]


def test_wins_are_counted_by_place_with_ties_as_half(shown):
    figures = position_figures(shown)
    assert [(one.position, one.images) for one in figures] == [(1, 12), (2, 12), (3, 12)]
    assert [one.preferred.value for one in figures] == pytest.approx(counted(shown))
    assert {one.preferred.count for one in figures} == {24}


def test_answers_that_are_not_accepted_do_not_count(shown):
    Assignment.objects.update(state="submitted", accepted_at=None)
    assert position_figures(shown) == []


def test_the_page_the_table_and_the_api_say_it(shown, ada, rita, alice, eve):
    page = as_(rita).get(f"/projects/{shown.slug}/analysis/").text
    assert "Place on the page" in page
    assert "of its pairs" in page
    table = as_(ada).get(f"/projects/{shown.slug}/analysis/table/")
    rows = [
        row
        for row in csv.DictReader(b"".join(table.streaming_content).decode().splitlines())
        if row["figure"] == "by place on the page"
    ]
    program = APIClient()
    program.force_authenticate(ada)
    listed = program.get(f"/api/v1/projects/{shown.slug}/positions/").json()
    assert [row["group"] for row in rows] == ["1", "2", "3"]
    assert [float(row["value"]) for row in rows] == pytest.approx(
        [one["preferred"]["value"] for one in listed], abs=1e-4
    )
    assert listed[0]["images"] == 12
    for person in (alice, eve):
        program.force_authenticate(person)
        assert program.get(f"/api/v1/projects/{shown.slug}/positions/").status_code == 404


def test_an_even_page_says_that_there_is_too_little(project, ada, alice):
    rank_images(alice, [(images, [1, 2]) for images in add_images(project, 2, ["a", "b"])])
    page = as_(ada).get(f"/projects/{project.slug}/analysis/").text
    assert "No accepted answer has a category or a rating yet." in page
    Assignment.objects.update(is_order_imported=True)
    page = as_(ada).get(f"/projects/{project.slug}/analysis/").text
    assert "answers to 2 of 10 prompts" in page
