"""Axes that a project names: asked, stored, shown, exported and read back; the paper's three without any."""

from dataclasses import asdict

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils.timezone import now
from pyarrow import parquet

from annotation.models import Assignment, Project, Rating
from annotation.models.axes import CSV, IMAGEREWARDDB, MOST, PAPER, check_axes, column_of, columns_among
from annotation.selectors.results.agreement import rating_agreement
from annotation.selectors.results.analysis import project_analysis
from annotation.services.exports import export_to_folder
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.people.tokens import issue_token
from annotation.services.projects.projects import SettingsFrozen, acknowledge, add_member, change_settings
from tests.annotation.judged import judge, rated
from tests.annotation.posts import address, begin, filled_in
from tests.cast import NOW

NAMES = ("legible", "overall", "hands", "light", "texture", "style_match")
AXES = [{"name": name, "title": name.title(), "question": f"How is the {name}?"} for name in NAMES]


@pytest.fixture
def named(a_project):
    return a_project(axes=AXES, opinions_per_prompt=2, review_share=0.0)


@pytest.fixture
def judged(named, alice, bob):
    return judge(named, [alice, bob])


def points_of(number, *points):
    return {f"rating-{number}-{name}": str(point) for name, point in zip(NAMES, points, strict=True)}


def as_(person):
    client = Client()
    client.force_login(person)
    return client


def test_six_axes_are_asked_in_their_order_and_stored_by_name(client, named, alice, a_prompt):
    a_prompt(project=named)
    add_member(project=named, user=alice, role="annotator")
    task = begin(client, alice, named)
    page = client.get(f"/work/{named.slug}/").text
    places = [page.index(f'data-question="rating-1-{name}"') for name in (*NAMES, "problems")]
    assert places == sorted(places)
    assert "rating-1-fidelity" not in page
    given = points_of(1, 7, 1, 2, 3, 4, 5) | points_of(2, 5, 7, 1, 1, 1, 1) | points_of(3, 5, 7, 1, 1, 1, 1)
    paper = dict.fromkeys([f"rating-{n}-{name}" for n in (1, 2, 3) for name in ("alignment", "fidelity")])
    answer = filled_in(task, slots=[1, 2, 3], **paper) | given

    refused = client.post(address(task), answer | {"rating-3-texture": ""})
    assert "Image 3 is not rated: Texture." in refused.text
    refused = client.post(address(task), answer | {"slot-1": "4"})
    assert "Image 1 is rated above image 2 (Legible), but placed below it." in refused.text
    assert client.post(address(task), answer).status_code == 302
    rating = Rating.objects.get(generation=task.order[0])
    assert rating.points == dict(zip(NAMES, (7, 1, 2, 3, 4, 5), strict=True))
    assert (rating.overall, rating.alignment) == (1, None)


def test_the_api_says_the_axes_and_takes_points_on_them_alone(named, alice, a_prompt):
    a_prompt(project=named)
    add_member(project=named, user=alice, role="annotator")
    acknowledge(guideline=named.guidelines.first(), user=alice)
    _, secret = issue_token(user=alice, name="any", days=None, now=now())
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    api, json = f"/api/v1/projects/{named.slug}", "application/json"
    shown = next(one for one in client.get("/api/v1/projects/").json() if one["slug"] == named.slug)
    task = client.post(f"{api}/tasks/next/").json()
    assert [axis["name"] for axis in task["axes"]] == [axis["name"] for axis in shown["axes"]] == [*NAMES]

    def answer(**points):
        rating = dict.fromkeys(NAMES, 4) | {"problems": []} | points
        images = [{"number": n, "slot": n, "rating": rating} for n in (1, 2, 3)]
        label = {"category": "animals", "intent_unclear": False, "issues": []}
        return {"claim": task["claim"], "label": label, "images": images}

    unknown = client.post(f"{api}/answers/", answer(fidelity=4), json)
    assert unknown.json()["images"]["0"]["rating"] == {"fidelity": ["This project has no such axis."]}
    off = client.post(f"{api}/answers/", answer(hands=8), json)
    assert "hands" in off.json()["images"]["0"]["rating"]
    stored = client.post(f"{api}/answers/", answer(hands=2), json)
    assert stored.status_code == 201, stored.json()
    assert stored.json()["images"][0]["rating"] == dict.fromkeys(NAMES, 4) | {"hands": 2, "problems": []}


def test_pages_and_figures_are_of_the_projects_axes(judged, ada):
    assert [figures.axis.name for figures in rating_agreement(judged)] == [*NAMES]
    analysis = project_analysis(judged)
    assert (len(analysis.images.scores), analysis.images.ratings) == (6, 18)
    assert dict(analysis.distribution)[4][2:] == [18] * 4
    answer = Assignment.objects.filter(project=judged).first()
    for path in (
        f"projects/{judged.slug}/agreement",
        f"projects/{judged.slug}/analysis",
        f"inspect/{answer.pk}",
    ):
        assert "Texture" in as_(ada).get(f"/{path}/").text, path


@pytest.mark.parametrize(
    ("format", "file"), [("csv", "rankings.csv"), ("imagerewarddb", "metadata-train.parquet")]
)
def test_points_go_out_and_come_in_again_where_the_axes_are_the_same(
    judged, a_project, tmp_path, format, file
):
    export_to_folder(project=judged, format=format, folder=tmp_path / "out", now=NOW)
    assert "| texture | Texture |" in (tmp_path / "out/README.md").read_text()
    same, other = a_project(axes=AXES), a_project()
    options = {"file": tmp_path / "out" / file, "now": NOW, "without_images": True}
    import_rankings(project=same, **options)
    assert rated(same) == rated(judged)
    with pytest.raises(
        ImportRefused, match="rated on hands, legible, light, overall, style_match, texture, and"
    ):
        import_rankings(project=other, **options)
    assert not other.assignments.exists()


@pytest.mark.parametrize("format", ["csv", "imagerewarddb"])
def test_an_export_of_nothing_has_the_columns_of_the_projects_axes(named, tmp_path, format):
    export_to_folder(project=named, format=format, folder=tmp_path / "out", now=NOW)
    if format == "csv":
        columns = (tmp_path / "out/rankings.csv").read_text().strip().split(",")
    else:
        columns = parquet.read_schema(tmp_path / "out/metadata-train.parquet").names
    assert "texture_rating" in columns


def test_axes_stay_as_they_are_once_work_is_open(project, a_prompt, ada):
    change_settings(project=project, axes=AXES[:1], by=ada)
    assert Project.objects.get(pk=project.pk).rating_axes[0].name == "legible"
    change_settings(project=project, axes=[asdict(axis) for axis in PAPER])
    assert Project.objects.get(pk=project.pk).axes is None
    a_prompt()
    with pytest.raises(SettingsFrozen, match="axes"):
        change_settings(project=project, axes=AXES)
    assert Project.objects.get(pk=project.pk).rating_axes == PAPER


def rows_of(axes):
    """What the page posts of these axes."""
    return {
        f"axes-{number}-{part}": axis.get(part, "")
        for number, axis in enumerate([*axes, {}], start=1)
        for part in ("title", "question", "name", "low", "middle", "high")
    }


def test_an_admin_names_axes_on_the_page_and_those_of_the_paper_are_stored_as_none(ada, project):
    path = f"/projects/{project.slug}/settings/"
    form = as_(ada).get(path).context["form"]
    given = {name: form[name].value() for name in form.fields if name != "axes"}
    fields = {name: value for name, value in given.items() if value is not False}
    wished = [
        {"title": "Legible\xa0text", "question": "Can it be read?"},
        {"title": "Overall", "name": "overall"},
    ]
    assert as_(ada).post(path, fields | rows_of(wished)).status_code == 302
    project.refresh_from_db()
    assert [(axis.name, axis.title) for axis in project.rating_axes] == [
        ("legible_text", "Legible\xa0text"),
        ("overall", "Overall"),
    ]
    page = as_(ada).get(path).text
    assert 'name="axes-1-question" value="Can it be read?"' in page
    refused = as_(ada).post(path, fields | rows_of([{"question": "Of what?"}]))
    assert "Axis 1 has no title." in refused.text
    assert 'value="Of what?"' in refused.text
    as_many = [{"name": f"a{number}", "title": f"A {number}"} for number in range(MOST)]
    assert as_(ada).post(path, fields | rows_of(as_many)).status_code == 302
    project.refresh_from_db()
    assert len(project.rating_axes) == MOST
    assert as_(ada).post(path, fields | rows_of(map(asdict, PAPER))).status_code == 302
    project.refresh_from_db()
    assert project.axes is None


def test_a_program_sets_axes_and_reads_them(ada, project):
    _, secret = issue_token(user=ada, name="any", days=None, now=now())
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    path, json = f"/api/v1/projects/{project.slug}/", "application/json"
    read = client.get(path).json()["axes"]
    assert [axis["name"] for axis in read] == ["overall", "alignment", "fidelity"]
    assert client.patch(path, {"axes": read}, json).json()["axes"] == read
    changed = client.patch(path, {"axes": AXES[:2]}, json).json()
    assert [axis["title"] for axis in changed["axes"]] == ["Legible", "Overall"]
    call_command("change_project", project.slug, '--set=axes=[{"name": " a", "title": "A "}, {"title": " "}]')
    assert [(axis["name"], axis["title"]) for axis in client.get(path).json()["axes"]] == [("a", "A")]
    client.patch(path, {"axes": AXES[:2]}, json)
    refused = client.patch(path, {"axes": [AXES[0]] * 2}, json)
    assert refused.json() == {"axes": ["Two axes have the name 'legible'."]}
    project.refresh_from_db()
    assert [axis.name for axis in project.rating_axes] == ["legible", "overall"]


@pytest.mark.parametrize(
    ("axes", "why"),
    [
        ([], "1 to 18 axes, not on 0"),
        ([AXES[0]] * (MOST + 1), "1 to 18 axes, not on 19"),
        ("overall", "a list of objects"),
        ([{"name": "a-b", "title": "A"}], "Axis 1 cannot be named 'a-b'"),
        ([{"name": "problems", "title": "A"}], "cannot be named 'problems'"),
        ([{"name": "a_rating", "title": "A"}], "cannot be named 'a_rating'"),
        ([{"name": "a", "title": " "}], "Axis 1 has no title"),
        ([{"name": "a", "title": "A\nB"}], "its title is no line of text"),
        ([{"name": "a", "title": "A", "low": "\0"}], "its low is no line of text"),
        ([{"name": "a", "title": "A" * 41}], "its title is longer than 40 letters"),
        ([{"name": "a", "title": "A", "weight": "2"}], "Axis 1 has 'weight'"),
        ([{"name": "a", "title": "A"}, {"name": "a", "title": "B"}], "Two axes have the name 'a'"),
        ([{"name": "a", "title": "A"}, {"name": "b", "title": "a"}], "Two axes have the title 'a'"),
    ],
)
def test_axes_that_cannot_be_are_refused_by_number(axes, why):
    with pytest.raises(ValidationError, match=why):
        check_axes(axes)


@pytest.mark.parametrize("papers", [CSV, IMAGEREWARDDB])
def test_a_tables_columns_are_found_by_axis_and_no_other_column_is(papers):
    axes = ("overall", "alignment", "fidelity", "hands")
    columns = {axis: column_of(axis, papers) for axis in axes}
    others = {"prompt", "slot", "problems", "problems_rating", "alignment_rating", "_rating", "A_rating"}
    assert columns_among([*columns.values(), *(others - set(columns.values()))], papers) == columns


@pytest.mark.parametrize("points", [{"others": {"hands": 8}}, {"others": {"hands": "4"}}, {"others": None}])
def test_the_database_refuses_points_off_the_scale(judged, points):
    rating = Rating.objects.filter(assignment__project=judged)[:1].values("pk")
    with pytest.raises(IntegrityError), transaction.atomic():
        Rating.objects.filter(pk__in=rating).update(overall=None, **points)


def test_ratings_of_before_stay_and_the_migration_goes_back_where_nothing_is_lost(
    migrate_back, project, alice, a_project
):
    judge(project, [alice], slots=[(1, 3, 3)])
    ratings = rated(project)
    old = migrate_back("annotation", "0052_mails_wait_in_rows").get_model("annotation", "Rating")
    assert old.objects.filter(overall=7, alignment=4, fidelity=4).exists()
    call_command("migrate", verbosity=0)
    assert rated(project) == ratings
    # A web server of before, which goes on while the others are replaced.
    rating = old.objects.first()
    rating.delete()
    old.objects.create(
        assignment_id=rating.assignment_id,
        generation_id=rating.generation_id,
        overall=7,
        alignment=4,
        fidelity=4,
        problems=rating.problems,
    )
    assert rated(project) == ratings
    slug = a_project(axes=AXES).slug
    with pytest.raises(CommandError, match=f"{slug}: images are rated on axes that an earlier version lacks"):
        migrate_back("annotation", "0052_mails_wait_in_rows")
