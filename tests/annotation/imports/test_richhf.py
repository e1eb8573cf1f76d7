"""RichHF-18K's copies with images, as they really look: scores of single images rank those of a prompt."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from annotation.models import Assignment, Rating
from annotation.models.axes import PAPER, Axis, as_stored
from annotation.services.exports import export_to_folder
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.imports.formats import read_rankings
from tests.annotation.imports.rows import nothing_written
from tests.annotation.judged import judge, pictures, rated, said
from tests.cast import NOW, picture

AESTHETICS = as_stored([*PAPER, Axis("aesthetics", "Beauty")])
HEAT = [[0.0] * 64] * 64  # of the maps, which have 512 x 512 numbers


def scored(number, caption="a fox", overall=0.5, **more):
    """A row, with the columns of Exploration/richhf_18k_with_images."""
    return {
        "filename": f"train/{number}.png",
        "caption": caption,
        "image": {"bytes": picture(number), "path": f"{number}.png"},
        "artifact_map": HEAT,
        "misalignment_map": HEAT,
        "artifact_score": 1.0,
        "misalignment_score": 0.0,
        "aesthetics_score": 0.25,
        "overall_score": overall,
        "prompt_misalignment_label": "1 0",
    } | more


@pytest.fixture
def published(tmp_path):
    """Write rows as two tables of a folder."""

    def write(*rows):
        for number, part in enumerate((rows[:2], rows[2:])):
            if part:
                table = pyarrow.Table.from_pylist(list(part))
                parquet.write_table(table, tmp_path / f"train-0000{number}-of-00002.parquet")
        return tmp_path

    return write


def test_images_of_a_prompt_are_ranked_by_their_scores_and_images_alone_are_counted(a_project, published):
    project = a_project(axes=AESTHETICS)
    folder = published(
        scored(1, overall=5 / 12), scored(2, overall=1.0), scored(3, "an owl"), scored(4, overall=1.0)
    )
    done = import_rankings(project=project, file=folder, now=NOW)
    assert (done.rankings, done.images, done.passed_over) == (1, 3, 1)
    assert done.counts.endswith("1 prompts and 3 images new; 1 prompts with one image passed over")
    assert [*said(project)[0].values()] == [{"train/1.png": 2, "train/2.png": 1, "train/4.png": 1}]
    points = {rating.generation.source: rating.points for rating in Rating.objects.all()}
    assert points["train/1.png"] == {"overall": 4, "alignment": 1, "fidelity": 7, "aesthetics": 3}
    assert None not in pictures(project).values()
    again = import_rankings(project=project, file=folder, now=NOW)
    assert (again.rankings, again.known, again.passed_over) == (0, 1, 1)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([scored(1), scored(2, "an owl")], "has no ranking: each of 2 prompts has one image"),
        ([scored(1), scored(2, overall=1.5)], "row 2: 'overall_score' is 1.5, not a number from 0 to 1"),
        ([scored(1), scored(2, overall=None)], "row 2: 'overall_score' is None, not a number from 0 to 1"),
        (
            [scored(n, image=f"{n}.png") for n in (1, 2)],
            "row 1: 'image' holds str, not the bytes",
        ),
        ([scored(1), scored(1)], "'train/1.png' is there twice"),
        ([scored(1, rating=3), scored(2, rating=3)], "unknown field 'rating'"),
        (
            [{name: value for name, value in scored(n).items() if name != "caption"} for n in (1, 2)],
            "row 1: field 'caption' is missing",
        ),
        (
            [scored(n, image={"bytes": b"no picture", "path": None}) for n in (1, 2)],
            "row 1: train/1.png: is no PNG, JPEG or WebP image",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused(a_project, published, media, rows, says):
    with pytest.raises(ImportRefused) as refused:
        import_rankings(project=a_project(axes=AESTHETICS), file=published(*rows), now=NOW)
    assert says in str(refused.value)
    assert nothing_written(media)


@pytest.mark.parametrize("form", ["as datasets has it", "bytes"])
def test_images_whose_cells_are_empty_are_named(a_project, published, form):
    project, cells = a_project(axes=AESTHETICS), {} if form != "bytes" else {"image": picture(1)}
    folder = published(scored(1, **cells), scored(2, image=None), scored(3, overall=1.0, image=None))
    done = import_rankings(project=project, file=folder, now=NOW)
    key = project.prompts.get().key
    assert done.left_out == (
        f"prompt {key}, train/2.png: has no picture in {folder}",
        f"prompt {key}, train/3.png: has no picture in {folder}",
    )
    assert [source for (_, source), sha256 in pictures(project).items() if sha256] == ["train/1.png"]


def test_a_picture_of_no_bytes_is_broken_rather_than_none(a_project, published):
    folder, project = published(scored(1), scored(2, image={"bytes": b""})), a_project(axes=AESTHETICS)
    with pytest.raises(ImportRefused, match=r"parquet, row 1: train/2\.png: is empty"):
        import_rankings(project=project, file=folder, now=NOW)
    done = import_rankings(project=project, file=folder, now=NOW, skip_broken=True)
    assert done.left_out == (f"prompt {project.prompts.get().key}, train/2.png: train/2.png: is empty",)


@pytest.mark.parametrize("first", [1, 3])
def test_tables_may_have_pictures_or_lie_beside_them(a_project, published, tmp_path, first):
    """One table has a column of pictures, another has not: both show images of one prompt."""
    rows = {n: scored(n, overall=n / 4) for n in (1, 2, 3, 4)}
    for n in (3, 4):
        del rows[n]["image"]
    project, folder = (
        a_project(axes=AESTHETICS),
        published(
            *(rows[n] for n in (first, first + 1)),
            *(rows[n] for n in (1, 2, 3, 4) if n not in (first, first + 1)),
        ),
    )
    with pytest.raises(ImportRefused, match=r"2 of 4 image files are missing .*: train/3\.png, train/4\.png"):
        import_rankings(project=project, file=folder, now=NOW)
    (tmp_path / "train").mkdir()
    for n in (3, 4):
        (tmp_path / f"train/{n}.png").write_bytes(picture(n))
    done = import_rankings(project=project, file=folder, now=NOW)
    assert (done.images, done.left_out) == (4, ())
    assert None not in pictures(project).values()


def test_pictures_may_be_bytes_alone(a_project, published):
    project, folder = a_project(axes=AESTHETICS), published(*(scored(n, image=picture(n)) for n in (1, 2)))
    assert import_rankings(project=project, file=folder, now=NOW).images == 2
    assert None not in pictures(project).values()


@pytest.mark.parametrize("order", [1, -1])
def test_rows_of_other_columns_are_refused_by_what_they_lack(a_project, tmp_path, order):
    rows = [{name: value for name, value in scored(n).items() if name != "image"} for n in (1, 2)][::order]
    del rows[0]["aesthetics_score"]
    file = tmp_path / "r.json"
    file.write_text(json.dumps(rows))
    with pytest.raises(ImportRefused, match="'aesthetics_score' is None"):
        import_rankings(project=a_project(axes=AESTHETICS), file=file, without_images=True, now=NOW)


def test_a_project_without_its_axes_is_told_them(project, published):
    with pytest.raises(ImportRefused, match="rated on aesthetics, alignment, fidelity, overall, and those"):
        import_rankings(project=project, file=published(scored(1), scored(2)), now=NOW)


def test_heat_maps_of_any_size_are_not_read(a_project, published):
    """Those of the whole dataset decode to gigabytes."""
    folder = published(*(scored(number, overall=number / 4) for number in range(4)))
    assert len(read_rankings(a_project(axes=AESTHETICS), folder, most_bytes=20_000).records) == 1


def test_any_axes_go_out_and_come_back(a_project, alice, bob, tmp_path):
    axes = as_stored([Axis("overall", "Overall"), Axis("legible_text", "Text"), Axis("aesthetics", "Beauty")])
    options = {"opinions_per_prompt": 2, "review_share": 0.0, "axes": axes, "consistency": "off"}
    project, elsewhere = judge(a_project(**options), [alice, bob]), a_project(axes=axes)
    export_to_folder(project=project, format="richhf", folder=tmp_path / "out", now=NOW)
    names = set(parquet.read_schema(next((tmp_path / "out/data").iterdir())).names)
    assert {"overall_score", "aesthetics_score", "legible_text_rating"} <= names
    import_rankings(project=elsewhere, file=tmp_path / "out/data", now=NOW)
    assert rated(elsewhere) == rated(project)
    assert Assignment.objects.filter(project=elsewhere, ratings__isnull=False).exists()
