"""Files that are not what they say they are: refused by name and row, nothing written."""

import csv
from contextlib import suppress

import pyarrow
import pytest
from pyarrow import parquet

from annotation.models import Assignment, Rating, User
from annotation.models.axes import PAPER, Axis, as_stored
from annotation.services.exports import FORMATS, export_to_folder
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.imports.formats import READERS
from annotation.services.imports.tables import read_rows
from tests.annotation.exports.test_exports import ROWS
from tests.annotation.imports.rows import nothing_written
from tests.annotation.imports.test_rankings import parquet_rows
from tests.annotation.judged import judge, said
from tests.cast import NOW, picture


def pair(a="a.png", b="b.png", slots=(1, 3), better="a", **more):
    row = {"prompt_id": "1", "prompt": "a fox", "image_a": a, "image_b": b, "better": better, **more}
    return {**row, "slot_a": slots[0], "slot_b": slots[1], "annotator": more.get("annotator", "x")}


def hpd_item(*annotations, **more):
    said = [{"rank": rank, "user_hash": user} for rank, user in annotations or [([1, 2], "x")]]
    return {"prompt": "a fox", "image_path": ["a.png", "b.png"], "raw_annotations": said, **more}


def hpd_pair(preference=(0, 1), **more):
    row = {"prompt": "a fox", "human_preference": list(preference), **more}
    return row if "image_path" in more else {**row, "file_path": ["a.png", "b.png"]}


def cells(image="a.png", slot="1", **more):
    row = {"prompt_id": "1", "prompt": "a fox", "annotator": "x", "image": image, "slot": slot}
    return row | {"category": "", "issues": "", "overall": "", "alignment": "", "fidelity": "", **more}


def rated(image, overall, **more):
    return cells(image, overall=overall, alignment="4", fidelity="4", **more)


def choice(left="a", right="b", labels=(1.0, 0.0), ranking=7, **more):
    row = {
        "caption": "a fox",
        "ranking_id": ranking,
        "user_id": 3,
        "label_0": labels[0],
        "label_1": labels[1],
    }
    names = {"image_0_uid": left, "image_0_url": "", "image_1_uid": right, "image_1_url": ""}
    pictures = {"jpg_0": picture(1), "jpg_1": picture(2)}
    return {**row, **names, **pictures, "has_label": True, **more}


def as_csv(rows):
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]

    class Text(list):
        write = list.append

    text = Text()
    csv.writer(text).writerows(lines)
    return "".join(text)


REFUSED = [
    ("pairs.jsonl", [pair(better="both")], "row 1: 'better' is 'both'"),
    ("pairs.jsonl", [pair(better="b")], "row 1: what is better contradicts the slots 1 and 3"),
    ("pairs.jsonl", [pair(b="a.png")], "row 1: 'a.png' is compared with itself"),
    ("pairs.jsonl", [pair(), pair("b.png", "a.png", (3, 1), "b")], "row 2: 'b.png' and 'a.png' are compared"),
    ("pairs.jsonl", [pair(), pair(b="c.png")], "row 1: the opinion has 2 pairs, and its images make 3"),
    (
        "pairs.jsonl",
        [pair(), pair(b="c.png", slots=(2, 3))],
        "row 2: 'a.png' is in slot 2, and was in slot 1",
    ),
    ("pairs.jsonl", [pair(slots=(1, 6))], "row 1: 'slot_b' is 6"),
    ("pairs.jsonl", [pair(), pair(b="c.png", prompt="a cat")], "row 2: 'prompt' differs from row 1"),
    ("pairs.jsonl", [pair(), pair(prompt="a cat", annotator="y")], "row 2: id '1' has another text in row 1"),
    ("pairs.jsonl", [pair(annotator="x" * 65)], "row 1: 'annotator' is longer than 64"),
    ("pairs.jsonl", [pair(margin=2)], "row 1: unknown field 'margin'"),
    ("hpd.json", [hpd_item(([1, 2, 3], "x"))], "row 1: 'rank' has 3 slots for 2 images"),
    ("hpd.json", [hpd_item(([1, 9], "x"))], "row 1: 'rank' is 9"),
    ("hpd.json", [hpd_item(([1, 2], "x"), ([2, 1], "x"))], "row 1: id '1' was in row 1 already"),
    ("hpd.json", [hpd_item(raw_annotations="x")], "row 1: 'raw_annotations' is no list"),
    ("hpd.json", [hpd_item(), hpd_item(raw_annotations=[3])], "row 2: an annotation is no object"),
    ("hpd.json", [hpd_pair((1, 1))], "row 1: 'human_preference' prefers not one of two images"),
    ("hpd.json", [hpd_pair((0, 1, 0))], "row 1: 'human_preference' prefers not one"),
    ("hpd.json", [hpd_pair(image_path=["a.png"])], "row 1: 'human_preference' prefers not one"),
    ("r.csv", as_csv([cells(), cells("b.png", "x")]), "row 3: 'slot' is 'x'"),
    ("r.csv", as_csv([cells(), cells()]), "row 3: 'a.png' is there twice"),
    ("r.csv", as_csv([cells(), cells("b.png", category="arts")]), "row 3: 'category' differs from row 2"),
    ("r.csv", as_csv([cells(category="cats"), cells("b.png", category="cats")]), "'cats' is unknown"),
    ("r.csv", as_csv([rated("a.png", "5"), rated("b.png", "8")]), "row 3: 'overall' is 8"),
    ("r.csv", as_csv([rated("a.png", "5"), rated("b.png", "")]), "row 3: 'overall' is None"),
    ("r.csv", as_csv([cells(issues="rude"), cells("b.png", issues="rude")]), "row 2: 'issues' has 'rude'"),
    ("r.csv", as_csv([cells()]) + "1,2\r\n", "row 3: has not as many cells"),
    ("r.csv", as_csv([cells()]).replace("slot", "place"), "row 2: holds no rankings: it has none of ranking"),
    ("r.csv", as_csv([cells()]).replace("prompt_id", "id"), "row 2: field 'prompt_id' is missing"),
    ("r.csv", as_csv([cells()]).encode() + b"\xff\xfe,\r\n", "row 3: is no UTF-8"),
    ("r.csv", as_csv([cells()]) + '1,"a', "is no table after row 2"),
    ("r.csv", as_csv([cells()]), "row 2: fewer than two images"),
]


@pytest.mark.parametrize(("name", "content", "says"), REFUSED)
def test_a_bad_row_is_refused(project, written, media, name, content, says):
    with pytest.raises(ImportRefused) as refused:
        import_rankings(project=project, file=written(name, content), now=NOW, without_images=True)
    assert says in str(refused.value)
    assert name in str(refused.value)
    assert nothing_written(media)
    assert not User.objects.filter(username__startswith="imported:").exists()


@pytest.mark.parametrize(
    "rows", [[rated("a.png", "5"), rated("b.png", "6")], parquet_rows()[::2]], ids=["csv", "imagerewarddb"]
)
def test_an_axis_that_later_rows_alone_have_is_not_dropped(project, a_project, written, rows):
    """As in a JSON list, or in two tables of a folder."""
    wide = a_project(axes=as_stored([*PAPER, Axis("legible_text", "Text")]))

    def imported(project, *points):
        rated = zip(rows[-len(points) :], points, strict=True)
        table = [row | {"legible_text_rating": point} for row, point in rated]
        file = written("r.json", [*rows[: -len(points)], *table])
        return import_rankings(project=project, file=file, now=NOW, without_images=True)

    with pytest.raises(ImportRefused, match="row 1: 'legible_text_rating' is None, not a whole number"):
        imported(wide, 3)
    with pytest.raises(ImportRefused, match="rated on alignment, fidelity, legible_text, overall, and those"):
        imported(project, 3)
    assert imported(project, None).rankings == 1
    assert imported(wide, 2, 3).rankings == 1
    rated = Rating.objects.filter(generation__prompt__project=wide)
    assert sorted(rating.points["legible_text"] for rating in rated) == [2, 3]


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_cells_of_a_table_may_be_numbers_lists_and_flags(project, written, tmp_path, suffix):
    more = {"overall": 5, "alignment": 4, "fidelity": 4, "issues": ["violent"], "problems": []}
    more |= {"category": "animals", "intent_unclear": True, "seconds": 2.5, "acceptable_slots": 0}
    rows = [cells(f"{n}.png", **more) | {"slot": n, "position": n} for n in (1, 2)]
    file = written("r.json", rows)
    if suffix == "parquet":
        file = tmp_path / "r.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    import_rankings(project=project, file=file, now=NOW, without_images=True)
    answer = Assignment.objects.get()
    assert (answer.imported_seconds, answer.ranking.acceptable_slots) == (2.5, 0)
    assert (answer.label.intent_unclear, answer.label.issues) == (True, ["violent"])
    assert {(rating.overall, tuple(rating.problems)) for rating in Rating.objects.all()} == {(5, ())}


def changes(value, cell):
    """The value with `cell` in place of each part of it, at any depth, in turn."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        for changed in (cell, *changes(part, cell)):
            copy = value.copy()
            copy[key] = changed
            yield copy


def test_no_cell_of_the_wrong_kind_breaks_a_reader(a_project, alice, tmp_path):
    project = judge(a_project(review_share=0.0), [alice], [(1, 3, 3)], {"1": "a fox"})
    for format, reader in READERS.items():
        export_to_folder(project=project, format=format, folder=tmp_path / format, now=NOW)
        first, *others = read_rows(tmp_path / format / ROWS[format])
        for cell in (1.5, {"a": 1}, "a\0", "http://[", b"x"):
            for fields in changes(first.fields, cell):
                with suppress(ImportRefused):
                    for record in reader.read(project, [first.with_fields(fields), *others]):
                        assert "\0" not in f"{record.annotator}{record.generators}{record.sources}"
                        assert all(record.row.inside(name, tmp_path) for name in record.files if name)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([choice(labels=(1.0, 1.0))], "row 1: the labels are 1.0 and 1.0"),
        ([choice(left="b")], "row 1: 'b' is compared with itself"),
        ([choice(slot_0=2, slot_1=1)], "row 1: what is better contradicts the slots"),
        ([choice(), choice(caption="a cat")], "row 2: 'caption' differs from row 1"),
        ([choice(jpg_0=b"no picture")], "is no PNG, JPEG or WebP"),
        ([choice(has_label=False)], "has no ranking"),
    ],
)
def test_a_bad_row_of_pick_a_pic_is_refused(project, tmp_path, media, rows, says):
    file = tmp_path / "train.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    with pytest.raises(ImportRefused) as refused:
        import_rankings(project=project, file=file, now=NOW)
    assert says in str(refused.value)
    assert nothing_written(media)


def test_pick_a_pic_as_it_is_published_has_rankings_of_two(project, tmp_path):
    file = tmp_path / "train.parquet"
    rows = [choice(), choice("c", "d", (0.5, 0.5), ranking=8), choice("e", "f", ranking=9, has_label=False)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    done = import_rankings(project=project, file=file, now=NOW)
    assert (done.rankings, done.images) == (2, 4)
    assert said(project) == [{("7", "a fox"): {"a": 1, "b": 2}, ("8", "a fox"): {"c": 1, "d": 1}}]


def test_pick_a_pic_without_its_pictures_says_so(project, tmp_path):
    file, row = tmp_path / "train.parquet", choice()
    skipped = choice(None, "d", ranking=8, has_label=False)
    parquet.write_table(pyarrow.Table.from_pylist([row | {"jpg_1": None}, skipped]), file)
    done = import_rankings(project=project, file=file, now=NOW)
    assert done.left_out == (f"prompt 7, b: has no picture in {file}",)
    del row["jpg_0"], row["jpg_1"]
    parquet.write_table(pyarrow.Table.from_pylist([row | {"ranking_id": 9}]), file)
    done = import_rankings(project=project, file=file, now=NOW)
    assert done.left_out == tuple(f"prompt 9, {name}: has no picture in {file}" for name in "ab")


def test_hpd_v2_is_read_as_its_card_and_its_repository_spell_it(project, a_project, written):
    for name in ("raw_annotations", "raw_annotation"):
        item = {"prompt": "a fox", "image_path": ["a.jpg", "b.jpg"], "rank": [2, 1]}
        item[name] = [{"rank": [2, 1], "user_hash": "x"}, {"rank": [3, 1], "user_hash": "y"}]
        elsewhere, file = a_project(), written(f"{name}.json", [item])
        import_rankings(project=elsewhere, file=file, now=NOW, without_images=True)
        assert said(elsewhere) == [
            {("1", "a fox"): {"a.jpg": 2, "b.jpg": 1}},
            {("1", "a fox"): {"a.jpg": 3, "b.jpg": 1}},
        ]
    pairs = [hpd_pair((0, 1), user_hash="x"), hpd_pair((1, 0), image_path=["c.jpg", "d.jpg"], user_hash="x")]
    import_rankings(project=project, file=written("train.json", pairs), now=NOW, without_images=True)
    assert said(project) == [
        {("1", "a fox"): {"a.png": 2, "b.png": 1}, ("2", "a fox"): {"c.jpg": 1, "d.jpg": 2}}
    ]


def test_without_a_format_the_first_row_tells_and_a_wrong_one_is_refused(project, written):
    file = written("r.json", [hpd_item()])
    with pytest.raises(ImportRefused, match="row 1: field 'id' is missing"):
        import_rankings(project=project, file=file, now=NOW, format="imagereward", without_images=True)
    assert import_rankings(project=project, file=file, now=NOW, without_images=True).rankings == 1


def test_each_annotator_of_a_file_is_somebody_who_cannot_sign_in(project, written):
    file = written("pairs.jsonl", [pair(annotator="x"), pair(annotator="y", slots=(2, 2), better="tie")])
    done = import_rankings(project=project, file=file, now=NOW, without_images=True)
    assert (done.rankings, done.prompts) == (2, 1)
    names = Assignment.objects.values_list("annotator__username", flat=True)
    assert sorted(names) == ["imported:pairs:x", "imported:pairs:y"]
    assert not User.objects.filter(username__startswith="imported:", is_active=True).exists()
    again = import_rankings(project=project, file=file, now=NOW, without_images=True)
    assert (again.rankings, again.known) == (0, 2)


def test_every_format_can_be_chosen_and_no_field_tells_two_of_them():
    assert READERS.keys() == FORMATS.keys()
    fields = [field for reader in READERS.values() for field in reader.fields]
    assert len(set(fields)) == len(fields)
