"""The analysis page: what people said of prompts and images, counted by hand beside it."""

import csv

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, Problem, PromptLabel, Rating
from annotation.models.axes import COLUMNS
from annotation.selectors.results.analysis import project_analysis
from annotation.statistics.estimates import NotEnough
from tests.annotation.projects.test_pages import as_
from tests.rankings import add_images, rank_images

CATEGORIES = ["people"] * 12 + ["arts"] * 10 + ["food"] * 3


@pytest.fixture
def rated(project, alice):
    """25 prompts with an image each by two generators; "good" has 6 everywhere, "bad" 2, and 3 for food.

    Images by "bad" have broken bodies; of the first image nobody knows the problems. Prompts of arts ask for
    8k, and the intent of the first of them is unclear.
    """
    images = add_images(project, 25, ["good", "bad"])
    stars = {}
    for category, (good, bad) in zip(CATEGORIES, images, strict=True):
        stars |= {good.pk: 6, bad.pk: 3 if category == "food" else 2}
    rank_images(alice, [(one, [1, 4]) for one in images], stars)
    Rating.objects.update(problems=[])
    Rating.objects.filter(generation__generator="bad").update(problems=["body"])
    Rating.objects.filter(generation=images[0][0]).update(problems=None)
    answers = Assignment.objects.order_by("pk")
    PromptLabel.objects.bulk_create(
        PromptLabel(assignment=answer, category=category, intent_unclear=number == 12, issues=[])
        for number, (answer, category) in enumerate(zip(answers, CATEGORIES, strict=True))
    )
    for answer in answers.filter(label__category="arts"):
        answer.prompt.text += ", 8k"
        answer.prompt.save()
    return images


def figures(group):
    return dict(zip((*COLUMNS, *Problem.values), group.figures, strict=True))


def test_prompts_are_counted_by_what_they_are_about(rated, project):
    labels = project_analysis(project).labels
    assert labels == [("People", 12, 12, 0, 0), ("Arts", 10, 10, 1, 0), ("Food & drink", 3, 3, 0, 0)]


def test_ratings_are_averaged_over_all_and_by_category(rated, project):
    found = project_analysis(project)
    everything = figures(found.images)
    assert (found.images.prompts, found.images.ratings) == (25, 50)
    assert everything["overall"].value == pytest.approx((25 * 6 + 22 * 2 + 3 * 3) / 50)
    assert everything["overall"].low < everything["overall"].value < everything["overall"].high
    people, arts, food = found.by_category
    assert [group.name for group in found.by_category] == ["People", "Arts", "Food & drink"]
    assert figures(people)["fidelity"].value == 4
    assert figures(food)["overall"] == NotEnough("3 of 10 prompts")
    assert arts.prompts == 10


def test_problems_are_a_share_of_the_images_whose_problems_are_known(rated, project):
    found = figures(project_analysis(project).images)
    assert found["body"].value == pytest.approx(25 / 49)
    assert found["body"].count == 49
    assert found["blurry"].value == 0
    good, bad = (
        figures(group) for group in sorted(project_analysis(project).by_generator, key=lambda g: g.name)[::-1]
    )
    assert (good["body"].value, bad["body"].value) == (0, 1)
    assert (good["overall"].value, bad["overall"].value) == (6, pytest.approx(53 / 25))


def test_an_axis_counts_the_images_that_have_a_point_on_it(rated, project):
    Rating.objects.filter(generation__generator="bad").update(fidelity=None)
    Rating.objects.filter(generation=rated[0][0]).update(overall=None)
    images = project_analysis(project).images
    found = figures(images)
    assert (found["fidelity"].value, found["fidelity"].count) == (6, 25)
    assert (found["overall"].count, found["alignment"].count, images.ratings) == (49, 50, 50)


def test_prompts_are_grouped_by_their_share_of_function_words(rated, project):
    groups = {group.name: group for group in project_analysis(project).by_function_words}
    assert list(groups) == ["none", "0 to 20 %", "20 to 40 %", "40 to 60 %", "60 to 80 %", "80 to 100 %"]
    counts = {name: group.prompts for name, group in groups.items() if group.prompts}
    assert counts == {"none": 15, "20 to 40 %": 10}  # "a fox take 12, 8 k": 2 words of 6
    assert figures(groups["20 to 40 %"])["overall"].value == 4


def test_ratings_are_spread_from_seven_to_one(rated, project):
    spread = dict(project_analysis(project).distribution)
    assert list(spread) == [7, 6, 5, 4, 3, 2, 1]
    assert (spread[6], spread[3], spread[2], spread[7]) == ([25] * 3, [3] * 3, [22] * 3, [0] * 3)


def test_answers_that_are_not_accepted_or_no_opinions_are_left_out(rated, project, bob):
    Assignment.objects.filter(label__category="food").update(state="submitted", accepted_at=None)
    found = project_analysis(project)
    assert [count.name for count in found.labels] == ["People", "Arts"]
    assert found.images.ratings == 44


def test_the_page_shows_the_figures_to_those_who_may_study_them(rated, project, ada, rita, rosa, alice, eve):
    for person in (ada, rita, rosa):
        page = as_(person).get(f"/projects/{project.slug}/analysis/").text
        assert ">Food &amp; drink</th>" in page
        assert "<b>4.00</b>" in page
        assert "51.0 %" in page
        assert "too few" in page
    for person in (alice, eve):
        for path in ("analysis/", "analysis/table/"):
            assert as_(person).get(f"/projects/{project.slug}/{path}").status_code == 404


def test_the_page_of_a_project_without_answers_says_so(project, ada):
    page = as_(ada).get(f"/projects/{project.slug}/analysis/").text
    assert "No accepted answer has a category or a rating yet." in page


def test_a_project_without_labels_or_without_ratings_shows_what_it_has(rated, project, ada):
    PromptLabel.objects.all().delete()
    page = as_(ada).get(f"/projects/{project.slug}/analysis/").text
    assert "No accepted answer has a category yet." in page
    assert "How ratings are spread" in page
    assert "No rated prompt has a category yet." in page


def test_labels_alone_are_shown_without_ratings(rated, project, ada):
    Rating.objects.all().delete()
    page = as_(ada).get(f"/projects/{project.slug}/analysis/").text
    assert ">People</th>" in page
    assert "No accepted answer has ratings yet." in page


def test_the_table_has_every_figure(rated, project, ada):
    answer = as_(ada).get(f"/projects/{project.slug}/analysis/table/")
    rows = list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))
    found = {(row["figure"], row["group"], row["measure"]): row for row in rows}
    assert found["by category", "People", "overall"]["value"] == "4.0"
    assert found["by category", "Food & drink", "overall"]["value"] == ""
    assert found["by generator", "bad", "body"]["value"] == "1.0"
    assert found["distribution", "6", "alignment"]["count"] == "25"
    assert found["labels by category", "Arts", "unclear"]["count"] == "1"


def test_the_analysis_is_read_in_four_statements(rated, project):
    with CaptureQueriesContext(connection) as queries:
        project_analysis(project)
    assert len(queries) == 4
