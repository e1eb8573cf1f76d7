"""VisionRewardDB-Image as it is published: its grades come in as points, and go out as they came."""

import json
from pathlib import Path

import datasets
import pyarrow
import pytest
from datasets import concatenate_datasets, load_dataset
from django.core.management import call_command
from django.test import Client
from django.utils.timezone import now
from pyarrow import parquet

from annotation.models import Project, Rating
from annotation.models.axes import PAPER, SCALE, VISIONREWARD, Axis, as_stored, grade_of, point_of
from annotation.services.exports import export_to_folder
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.imports.formats import read_rankings
from annotation.services.people.tokens import issue_token
from tests.annotation.imports.rows import nothing_written
from tests.annotation.judged import judge, pictures, rated, said
from tests.annotation.projects.test_pages import as_
from tests.cast import NOW, picture

SETTINGS = Path(__file__).parents[3] / "docs/visionreward.json"
# As the dataset's card has them.
RANGES = {
    "symmetry": (-1, 1),
    "richness": (-2, 2),
    "color aesthetic": (-1, 1),
    "detail realism": (-3, 1),
    "safety": (-3, 1),
    "body": (-4, 1),
    "lighting aesthetic": (-1, 2),
    "lighting distinction": (-1, 2),
    "background": (-1, 2),
    "emotion": (-2, 2),
    "main object": (-1, 1),
    "color brightness": (-1, 1),
    "face": (-3, 2),
    "hands": (-4, 1),
    "clarity": (-2, 2),
    "detail refinement": (-4, 2),
    "object pairing": (-1, 1),
}
LOWEST = {question: low for question, (low, _) in RANGES.items()}
HIGHEST = {question: high for question, (_, high) in RANGES.items()}
NOBODY = dict.fromkeys(("body", "face", "hands"))


def graded(number, prompt="a fox", grades=LOWEST, **more):
    """A row, with the columns of the dataset's card."""
    return {
        "image": {"bytes": picture(number), "path": f"{number}.png"},
        "internal_id": f"id-{number}",
        "prompt": prompt,
        "url": f"https://example.org/{number}.png",
        "annotation": {**grades, "unsafe type": 0},
        "meta_result": [1, 0, 1],
        "meta_mask": [1, 1, 0],
    } | more


@pytest.fixture
def asking(ada):
    """Make a project with the settings of docs/visionreward.json."""

    def make(slug="vision"):
        call_command("create_project", slug, "--admin", "ada", "--from", SETTINGS)
        return Project.objects.get(slug=slug)

    return make


@pytest.fixture
def published(tmp_path):
    """Write rows as two tables of a folder."""

    def write(*rows):
        folder = tmp_path / "published"
        folder.mkdir()
        for number, part in enumerate((rows[:2], rows[2:])):
            if part:
                table = pyarrow.Table.from_pylist(list(part))
                parquet.write_table(table, folder / f"train-0000{number}-of-00010.parquet")
        return folder

    return write


def exported(project, folder, format="visionreward"):
    export_to_folder(project=project, format=format, folder=folder, now=NOW)
    return folder / "data"


def rows_in(folder):
    return [row for file in sorted(folder.iterdir()) for row in parquet.read_table(file).to_pylist()]


def grades_in(folder):
    """The grades of each image, "unsafe type" apart."""
    return {
        row["internal_id"]: {name: grade for name, grade in row["annotation"].items() if name in RANGES}
        for row in rows_in(folder)
    }


def rows_without_people(folder):
    return [row | {"annotator": ""} for row in rows_in(folder)]  # who has another pseudonym in each project


def points_in(project):
    ratings = Rating.objects.filter(assignment__project=project).select_related("generation")
    return {rating.generation.source: rating.points for rating in ratings}


def test_each_grade_is_a_point_and_each_point_that_grade():
    assert {axis.replace("_", " "): ends for axis, ends in VISIONREWARD.items()} == RANGES
    for axis, (low, high) in VISIONREWARD.items():
        points = [point_of(axis, grade) for grade in range(low, high + 1)]
        assert points == list(range(SCALE[0], SCALE[0] + len(points)))
        assert points[-1] <= SCALE[1]
        assert [grade_of(axis, point) for point in points] == list(range(low, high + 1))
        assert {grade_of(axis, point) for point in range(points[-1] + 1, SCALE[1] + 1)} <= {None}
    assert grade_of("overall", 1) is None


def test_the_settings_in_the_docs_ask_its_questions_and_say_how_far_each_goes():
    settings = json.loads(SETTINGS.read_text())
    assert {axis["name"] for axis in settings["axes"]} == VISIONREWARD.keys()
    for axis in settings["axes"]:
        low, high = VISIONREWARD[axis["name"]]
        best = str(high - low + 1)
        assert best in axis["question"]
        assert ("no more" in axis["question"]) == (best != "7")


def test_a_program_sets_a_project_up_by_the_same_file(project, ada):
    _, secret = issue_token(user=ada, name="any", days=None, now=now())
    client = Client(headers={"Authorization": f"Bearer {secret}"})
    client.patch(f"/api/v1/projects/{project.slug}/", SETTINGS.read_text(), "application/json")
    project.refresh_from_db()
    assert {axis.name for axis in project.rating_axes} == VISIONREWARD.keys()
    assert (project.slots, project.per_slot, project.consistency) == (9, 9, "off")


def test_grades_go_in_as_points_and_out_as_they_came(asking, published, tmp_path):
    project, elsewhere = asking(), asking("elsewhere")
    foxes = graded(1, grades=LOWEST), graded(2, grades=HIGHEST), graded(3, grades=HIGHEST | NOBODY)
    folder = published(*foxes, graded(4, "an owl", grades=LOWEST | NOBODY), graded(5, "an owl"))
    done = import_rankings(project=project, file=folder, now=NOW)
    assert (done.rankings, done.prompts, done.images) == (2, 2, 5)
    points = points_in(project)
    assert set(points["id-1"].values()) == {1}
    assert (points["id-2"]["symmetry"], points["id-2"]["detail_refinement"]) == (3, 7)
    assert points["id-1"].keys() - points["id-3"].keys() == NOBODY.keys()
    assert None not in pictures(project).values()

    out = exported(project, tmp_path / "out")
    assert grades_in(out) == grades_in(folder)
    again = import_rankings(project=elsewhere, file=out, now=NOW)
    assert (again.rankings, again.images) == (2, 5)
    assert (points_in(elsewhere), said(elsewhere)) == (points, said(project))
    assert rows_without_people(exported(elsewhere, tmp_path / "more")) == rows_without_people(out)


def test_images_of_a_prompt_are_ranked_by_their_mean_grades_and_equal_ones_tie(asking, published):
    project = asking()
    first = {"symmetry": 1, "richness": 0, "body": -4}  # (1 + 1/2 + 0) / 3
    second = {"symmetry": 0}  # 1/2, and nothing else of it is known
    third = {"symmetry": 0, "body": 1}  # (1/2 + 1) / 2
    folder = published(
        *(graded(n, grades=grades) for n, grades in ((1, first), (2, second), (3, third), (5, second))),
        graded(4, "an owl"),
    )
    done = import_rankings(project=project, file=folder, now=NOW)
    assert (done.rankings, done.passed_over) == (1, 1)
    assert [*said(project)[0].values()] == [{"id-1": 2, "id-2": 2, "id-3": 1, "id-5": 2}]


def test_kinds_of_what_is_unsafe_and_what_follows_from_grades_are_not_read(asking, published):
    odd = [graded(n, meta_result=[n] * 3, meta_mask=None) for n in (1, 2)]
    for row in odd:
        row["annotation"]["unsafe type"] = 99
    assert import_rankings(project=asking(), file=published(*odd), now=NOW).rankings == 1
    assert Rating.objects.first().points.keys() == VISIONREWARD.keys()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            [graded(1), graded(2, grades=LOWEST | {"hands": 2})],
            "row 2: 'hands' is 2, not a whole number from -4 to 1",
        ),
        ([graded(1), graded(2, grades=LOWEST | {"face": -4})], "'face' is -4, not a whole number from -3 to"),
        (
            [graded(n, grades={"symmetry": "good"}) for n in (1, 2)],
            "row 1: 'symmetry' is 'good', not a whole",
        ),
        ([graded(n, grades={"symmetry": 0.5}) for n in (1, 2)], "row 1: 'symmetry' is 0.5, not a whole"),
        ([graded(1), graded(2, grades=dict.fromkeys(RANGES))], "row 2: has neither a grade nor a slot"),
        ([graded(1), graded(2, annotation=None)], "row 2: has neither a grade nor a slot"),
        (
            [graded(n, slot=n, annotation=None if n == 2 else LOWEST) for n in (1, 2)],
            "row 2: its image is rat",
        ),
        ([graded(n, annotation="good") for n in (1, 2)], "row 1: 'annotation' is no object"),
        ([graded(n, grades=LOWEST | {"adjective": 1}) for n in (1, 2)], "row 1: unknown field 'adjective'"),
        ([graded(1), graded(1)], "'id-1' is there twice"),
        ([graded(1, internal_id=None), graded(2)], "row 1: 'internal_id' is no text"),
        ([graded(1, prompt=" "), graded(2)], "row 1: 'prompt' is no text"),
        ([graded(n, score=3) for n in (1, 2)], "unknown field 'score'"),
        (
            [graded(n, hands_rating=7) for n in (1, 2)],
            "row 1: 'hands_rating' has a point, and 'annotation' a g",
        ),
        (
            [graded(n, grades={}, slot=n, hands_rating=8) for n in (1, 2)],
            "'hands_rating' is 8, not a whole num",
        ),
        ([graded(n, grades={}, hands_rating=7) for n in (1, 2)], "row 1: has neither a grade nor a slot"),
        (
            [graded(n, grades={"face": 0}, hands_rating="7") for n in (1, 2)],
            "row 1: 'hands_rating' is '7', not",
        ),
        ([graded(1), graded(2, "an owl")], "has no ranking: each of 2 prompts has one image"),
        ([graded(n, image=f"{n}.png") for n in (1, 2)], "row 1: 'image' holds str, not the bytes"),
        (
            [graded(n, image={"bytes": b"no picture", "path": None}) for n in (1, 2)],
            "row 1: id-1: is no PNG, JPEG or WebP image",
        ),
        (
            [{name: value for name, value in graded(n).items() if name != "annotation"} for n in (1, 2)],
            "row 1: field 'annotation' is missing",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused(asking, published, media, rows, says):
    with pytest.raises(ImportRefused) as refused:
        import_rankings(project=asking(), file=published(*rows), now=NOW)
    assert says in str(refused.value)
    assert nothing_written(media)


def test_a_project_of_other_axes_is_told_both(project, a_project, published):
    folder = published(graded(1), graded(2, grades=HIGHEST))
    with pytest.raises(
        ImportRefused, match=r"rated on background, body, .* and those of the project on alig"
    ):
        import_rankings(project=project, file=folder, now=NOW)
    further = a_project(axes=as_stored([PAPER[0], *(Axis(name, name) for name in VISIONREWARD)]))
    with pytest.raises(ImportRefused, match=r"and those of the project on background, .* overall, "):
        import_rankings(project=further, file=folder, now=NOW)


def test_points_that_are_no_grades_come_back_too(a_project, alice, tmp_path):
    """Above the highest of a question, and on axes that the dataset does not have."""
    axes = as_stored([Axis(name, name.title()) for name in ("overall", "symmetry", "hands", "legible")])
    options = {"review_share": 0.0, "axes": axes, "consistency": "off"}
    project, elsewhere = judge(a_project(**options), [alice], [(1, 2, 3)]), a_project(axes=axes)
    out = exported(project, tmp_path / "out")
    row = rows_in(out)[0]
    assert (row["annotation"]["symmetry"], row["symmetry_rating"]) == (None, 4)  # of three grades
    assert (row["annotation"]["hands"], row["hands_rating"]) == (-1, None)  # the fourth of six
    assert (row["legible_rating"], row["annotation"]["unsafe type"]) == (4, None)
    assert "none is cut off or rounded" in (tmp_path / "out/README.md").read_text()
    import_rankings(project=elsewhere, file=out, now=NOW)
    assert rated(elsewhere) == rated(project)
    assert rows_without_people(exported(elsewhere, tmp_path / "more")) == rows_without_people(out)


@pytest.mark.parametrize("format", ["csv", "imagerewarddb", "richhf", "labelstudio", "argilla"])
def test_images_without_some_grade_go_through_other_formats(asking, published, tmp_path, format):
    people = graded(1, grades=HIGHEST), graded(2)
    folder = published(*people, graded(3, "a sea", HIGHEST | NOBODY), graded(4, "a sea", LOWEST | NOBODY))
    project, elsewhere = asking(), asking("elsewhere")
    import_rankings(project=project, file=folder, now=NOW)
    exported(project, tmp_path / "out", format)
    files = {"csv": "rankings.csv", "imagerewarddb": "metadata-train.parquet", "argilla": "records.json"}
    file = tmp_path / "out" / (files | {"richhf": "data", "labelstudio": "labelstudio.json"})[format]
    import_rankings(project=elsewhere, file=file, now=NOW, without_images=True)
    points = points_in(elsewhere)
    assert points == points_in(project)
    assert points["id-1"].keys() - points["id-3"].keys() == NOBODY.keys()


def test_pages_show_images_without_some_grade(asking, published, ada):
    project = asking()
    import_rankings(project=project, file=published(graded(1), graded(2, grades=HIGHEST | NOBODY)), now=NOW)
    answer = project.assignments.get()
    for path in (
        f"projects/{project.slug}/agreement",
        f"projects/{project.slug}/analysis",
        f"inspect/{answer.pk}",
    ):
        page = as_(ada).get(f"/{path}/")
        assert (page.status_code, "lighting" in page.text.casefold()) == (200, True), path


def test_answers_to_yes_and_no_of_any_number_are_not_decoded(asking, published):
    folder = published(*(graded(n, meta_result=[n] * 100_000) for n in (1, 2)))
    assert len(read_rankings(asking(), folder, most_bytes=100_000).records) == 1


def test_an_export_can_be_put_below_the_published_rows(asking, published, tmp_path):
    folder = published(graded(1), graded(2, grades=HIGHEST | NOBODY))
    import_rankings(project=asking(), file=folder, now=NOW)
    exported(Project.objects.get(), tmp_path / "out")
    options = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    theirs, ours = (load_dataset(str(path), **options) for path in (folder, tmp_path / "out"))
    both = concatenate_datasets([theirs.cast_column("image", datasets.Image()), ours])
    assert [row["annotation"]["hands"] for row in both] == [-4, None, -4, None]
