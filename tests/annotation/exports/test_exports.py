"""Exports: every format brings back the same rankings, whole or not at all, and says what it holds."""

import csv
import json
import zipfile
from datetime import timedelta
from functools import partial
from pathlib import Path

import duckdb
import numpy
import pandas
import polars
import pytest
from datasets import load_dataset
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from pyarrow import parquet

from annotation.forms.exports import ExportForm
from annotation.models import Assignment, Generation, Image
from annotation.selectors.exports import Selection, batches
from annotation.services.exports import FORMATS, ExportFailed, export_to_folder
from annotation.services.exports.formats import imagereward
from annotation.services.exports.writer import ExportBusy, write_archive, write_files
from annotation.services.exports.writer import plan_export as plan
from annotation.services.imports import ImportRefused, import_rankings
from annotation.services.projects.projects import publish_guideline
from tests.annotation.judged import TEXTS, displayed, generators, judge, pictures, rated, said
from tests.cast import NOW, picture

RANKINGS = [
    {
        "id": "2",
        "prompt": "ein Fuchs, zäh",
        "generations": ["z/1.png", "a/2.png", "m/3.png"],
        "ranking": [2, 2, 5],
    },
    {"id": "1", "prompt": "an owl", "generations": ["1.png", "2.png"], "ranking": [4, 1]},
    {"id": "3", "prompt": "an owl", "generations": ["1.png", "2.png"], "ranking": [3, 3]},
]
# Where each format's rows are in its folder.
ROWS = {
    "imagereward": "imagereward.json",
    "imagerewarddb": "metadata-train.parquet",
    "pairs": "pairs.jsonl",
    "pickapic": "data",
    "hpd": "hpd.json",
    "hpdv3": "hpdv3.json",
    "dpo": "data",
    "richhf": "data",
    "visionreward": "data",
    "labelstudio": "labelstudio.json",
    "argilla": "records.json",
    "csv": "rankings.csv",
}
every_format = pytest.mark.parametrize("format", sorted(FORMATS))


@pytest.fixture
def imported(project, tmp_path):
    """Two rankings of one text under two ids, and a third."""
    file = tmp_path / "r.json"
    file.write_text(json.dumps(RANKINGS))
    import_rankings(project=project, file=file, now=NOW, without_images=True)
    return project


@pytest.fixture
def judged(a_project, alice, bob):
    """Two opinions on each of three prompts, with images, labels and ratings."""
    return judge(a_project(opinions_per_prompt=2, review_share=0.0, asks_acceptable=True), [alice, bob])


@pytest.fixture
def large(a_project, tmp_path):
    """Twelve prompts with images: two batches, since a prompt may have a hundred opinions."""
    project = a_project(opinions_per_prompt=100)
    rows = []
    for number in range(12):
        names = [f"{number}-{i}.png" for i in range(2)]
        for i, name in enumerate(names):
            (tmp_path / name).write_bytes(picture(2 * number + i))
        rows.append({"id": str(number), "prompt": f"take {number}", "generations": names, "ranking": [2, 1]})
    file = tmp_path / "large.json"
    file.write_text(json.dumps(rows))
    import_rankings(project=project, file=file, now=NOW)
    return project


def exported(project, format, folder, **options):
    return export_to_folder(project=project, format=format, folder=folder, now=NOW, **options)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_imported_rankings_come_out_as_they_came_in(imported, tmp_path):
    export = exported(imported, "imagereward", tmp_path / "out")
    assert json.loads((tmp_path / "out/imagereward.json").read_text()) == RANKINGS
    assert (export.rankings, export.images, export.pairs, export.ties) == (3, 7, 3, 2)


@every_format
def test_what_is_exported_and_imported_elsewhere_are_the_same_rankings(judged, a_project, tmp_path, format):
    elsewhere = a_project()
    exported(judged, format, tmp_path / "out")
    done = import_rankings(
        project=elsewhere,
        file=tmp_path / "out" / ROWS[format],
        now=NOW,
        images=tmp_path / "out",
        without_images=not FORMATS[format].has_images,
    )
    assert (done.rankings, done.prompts) == (6, 3)
    assert said(elsewhere) == said(judged)
    assert len(said(judged)) == 2
    assert displayed(elsewhere) == displayed(judged)
    if not FORMATS[format].leaves_out:
        assert rated(elsewhere) == rated(judged)
    if FORMATS[format].has_images:
        assert pictures(elsewhere) == pictures(judged)
    if "generators" not in FORMATS[format].leaves_out:
        assert generators(elsewhere) == generators(judged)


@pytest.mark.parametrize("format", sorted(name for name, format in FORMATS.items() if format.has_images))
def test_an_image_that_an_export_has_no_file_of_is_named_where_it_comes_in(
    judged, a_project, tmp_path, format
):
    without, elsewhere = Generation.objects.filter(prompt__key="a,b", source="a/3.png"), a_project()
    without.update(image=None)
    exported(judged, format, tmp_path / "out", with_images=True)
    done = import_rankings(
        project=elsewhere, file=tmp_path / "out" / ROWS[format], now=NOW, images=tmp_path / "out"
    )
    (told,) = done.left_out
    assert told.startswith(f"prompt a,b, a/3.png: has no picture in {tmp_path}/out/")
    assert f"1 images left out: {told}" in done.summary
    assert {key for key, sha256 in pictures(elsewhere).items() if not sha256} == {("a,b", "a/3.png")}
    assert said(elsewhere) == said(judged)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"positions": [1, 2]}, "'positions' is no list of 3 numbers"),
        ({"positions": [1, 2, 2]}, "the positions of the 3 images are not 1 to 3, each once"),
        ({"positions": [1, None, 2]}, "'positions' is None, not a whole number from 1 to 3"),
        ({"seconds": -1}, "'seconds' is -1, not a number from 0"),
        ({"seconds": float("inf")}, "'seconds' is inf"),
        ({"seconds": 10**400}, "'seconds' is 1000"),
        ({"acceptable_slots": 6}, "'acceptable_slots' is 6, not a whole number from 0 to 5"),
    ],
)
def test_a_display_that_cannot_have_been_is_refused(project, tmp_path, fields, says):
    file = tmp_path / "r.json"
    file.write_text(json.dumps([RANKINGS[0] | fields]))
    with pytest.raises(ImportRefused, match=says):
        import_rankings(project=project, file=file, now=NOW, without_images=True)
    assert not Assignment.objects.exists()


@pytest.mark.parametrize("format", ["csv", "imagerewarddb"])
def test_rows_sorted_anew_still_say_the_order_shown(judged, a_project, tmp_path, format):
    exported(judged, format, tmp_path / "out", with_images=False)
    file = tmp_path / "out" / ROWS[format]
    if format == "csv":
        with file.open(encoding="utf-8", newline="") as lines:
            head, *rows = csv.reader(lines)
        with file.open("w", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerows([head, *reversed(rows)])
    else:
        table = parquet.read_table(file)
        parquet.write_table(table.take(list(reversed(range(len(table))))), file)
    elsewhere = a_project()
    import_rankings(project=elsewhere, file=file, now=NOW, without_images=True)
    assert displayed(elsewhere) == displayed(judged)
    assert (said(elsewhere), rated(elsewhere)) == (said(judged), rated(judged))


@every_format
def test_rankings_without_images_come_back_without_them(imported, a_project, tmp_path, format):
    elsewhere = a_project()
    exported(imported, format, tmp_path / "out")
    without = not FORMATS[format].has_images  # the others say themselves that there are none
    file = tmp_path / "out" / ROWS[format]
    import_rankings(project=elsewhere, file=file, now=NOW, images=tmp_path / "out", without_images=without)
    untied = [key for key, slots in said(imported)[0].items() if len(set(slots.values())) > 1]
    ties = "opinions in which all images tie" in FORMATS[format].leaves_out
    wanted = [{key: said(imported)[0][key] for key in untied}] if ties else said(imported)
    assert said(elsewhere) == wanted
    assert rated_nothing(elsewhere)


def rated_nothing(project):
    answers = Assignment.objects.filter(project=project)
    return not answers.filter(ratings__isnull=False).exists() and not answers.filter(label__isnull=False)


@every_format
def test_an_export_of_nothing_is_whole_too(project, tmp_path, format):
    assert exported(project, format, tmp_path / "out").rankings == 0
    rows = tmp_path / "out" / ROWS[format]
    if rows.suffix == ".json":
        assert json.loads(rows.read_text()) == []
    assert "| rankings | 0 |" in (tmp_path / "out/README.md").read_text()


@every_format
@pytest.mark.parametrize("moment", [1, 11, 12])
def test_an_interrupted_export_gone_on_with_is_the_same_as_one_never_interrupted(
    large, tmp_path, format, moment
):
    def interrupt(counts, wanted):
        assert wanted == 12
        if counts.rankings == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(large, format, tmp_path / "out", progress=interrupt)
    assert not (tmp_path / "out").exists()
    told = []
    done = exported(large, format, tmp_path / "out", progress=lambda counts, _: told.append(counts.rankings))
    assert told[0] == (11 if moment > 10 else 1)  # the first ten were kept
    assert done == exported(large, format, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not list(tmp_path.glob(".*"))


def test_what_another_export_left_unfinished_is_not_gone_on_with(imported, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exported(imported, "csv", tmp_path / "out", progress=interrupt)
    exported(imported, "pairs", tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"README.md", "pairs.jsonl"}


def test_two_do_not_write_the_same_files(imported, tmp_path):
    selection = Selection(imported, until=NOW)
    asked = plan(selection=selection, format=FORMATS["csv"], images=False)
    wanted = {"selection": selection, "format": FORMATS["csv"], "plan": asked, "folder": tmp_path / "out"}

    def meddle(_):
        with pytest.raises(ExportBusy):
            write_files(**wanted, progress=lambda _: None)

    assert write_files(**wanted, progress=meddle).rankings == 3


def test_two_do_not_write_the_same_archive(tmp_path):
    wanted = {"files": tmp_path / "work" / "files", "archive": tmp_path / "foxes.zip"}
    wanted["files"].mkdir(parents=True)
    (wanted["files"] / "README.md").write_text("foxes")

    def meddle():
        with pytest.raises(ExportBusy):
            write_archive(**wanted, progress=lambda: None)

    size, _ = write_archive(**wanted, progress=meddle)
    assert wanted["archive"].stat().st_size == size


def test_a_window_in_time_holds_what_was_accepted_in_it(imported, tmp_path):
    first, second, third = Assignment.objects.order_by("pk")
    for days, answer in enumerate((first, second, third)):
        Assignment.objects.filter(pk=answer.pk).update(accepted_at=NOW - timedelta(days=2 - days))
    day = timedelta(days=1)
    held = exported(imported, "csv", tmp_path / "out", after=NOW - 2 * day, until=NOW - day)
    assert (held.rankings, held.pairs) == (1, 1)
    text = (tmp_path / "out/README.md").read_text()
    assert "Accepted until 2026-03-13T09:00:00+00:00, after 2026-03-12T09:00:00+00:00." in text


def test_only_accepted_answers_are_exported(a_project, alice, bob):
    project = judge(a_project(opinions_per_prompt=2, review_share=1.0), [alice, bob])
    assert list(batches(Selection(project, until=NOW))) == [(project.prompts.last().pk, [])]


def test_the_card_counts_pairs_with_and_without_ties(imported, tmp_path):
    exported(imported, "imagereward", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert "| pairs in different slots | 3 |" in card
    assert "| pairs tied | 2 |" in card
    assert "| pairs, ties included | 5 |" in card
    assert "| imported: not known | 3 |" in card


def test_the_card_says_under_which_guideline_answers_were_given(judged, tmp_path):
    later = publish_guideline(project=judged, text="# Be fairer")
    judged.guidelines.filter(version=1).update(created_at=NOW - timedelta(days=2))
    judged.guidelines.filter(pk=later.pk).update(created_at=NOW - timedelta(days=1))
    for answer, days in zip(Assignment.objects.finished().order_by("pk"), (3, 2, 2, 2, 1, 0), strict=True):
        Assignment.objects.filter(pk=answer.pk).update(submitted_at=NOW - timedelta(days=days))
    exported(judged, "csv", tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    assert "| no guideline yet | 1 |\n| version 1 | 3 |\n| version 2 | 2 |" in card
    assert "| annotators | 2 |" in card
    assert "| prompts | 3 |" in card


def test_the_card_says_how_far_people_agree_or_that_too_little_is_known(
    judged, a_project, alice, bob, tmp_path
):
    exported(judged, "csv", tmp_path / "few")
    assert "| Annotators |" in (few := (tmp_path / "few/README.md").read_text())
    assert "not enough: 3 of 10 prompts" in few
    texts = {str(number): f"take {number}" for number in range(10)}
    many = a_project(opinions_per_prompt=2, review_share=0.0)
    exported(judge(many, [alice, bob], texts=texts), "csv", tmp_path / "many")
    # One said 1, 3, 3 and the other 4, 1, 2: of the two pairs that neither tied they agree on none.
    assert "| 0.0 (0.0 to 0.0) |" in (tmp_path / "many/README.md").read_text()


def test_annotators_have_one_pseudonym_in_a_project_and_another_elsewhere(judged, a_project, alice, bob):
    def names(project):
        (batch,) = batches(Selection(project, until=NOW))
        return {ranking.annotator for ranking in batch.rankings}

    other = judge(a_project(opinions_per_prompt=2, review_share=0.0), [alice, bob])
    assert len(names(judged) | names(other)) == 4
    assert names(judged) == names(judged)
    assert not {"alice", "bob"} & names(judged)


def test_a_prompt_counts_once_in_pairs_whatever_it_has(judged, tmp_path):
    exported(judged, "pairs", tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * 2 * 3
    for key in TEXTS:
        weights = [line["weight"] for line in lines if line["prompt_id"] == key]
        assert sum(weights) == pytest.approx(1.0)
    assert sum(line["better"] == "tie" for line in lines) == 3


def test_hpd_ranks_by_the_mean_of_what_was_said(judged, tmp_path):
    exported(judged, "hpd", tmp_path / "out")
    item = json.loads((tmp_path / "out/hpd.json").read_text())[0]
    # One said 1, 3, 3 and the other 4, 1, 2: the means are 2.5, 2, 2.5.
    assert dict(zip(item["image_path"], item["rank"], strict=True)) == {"1.png": 2, "=2.png": 1, "a/3.png": 2}
    assert len({annotation["user_hash"] for annotation in item["raw_annotations"]}) == 2


def test_a_spreadsheet_takes_no_text_for_a_formula(judged, tmp_path):
    exported(judged, "csv", tmp_path / "out")
    text = (tmp_path / "out/rankings.csv").read_text()
    assert "'=HYPERLINK" in text
    assert not any(line.startswith("=") for line in text.splitlines())


COUNTED = {
    "pairs": 18,
    "dpo": 15,
    "pickapic": 18,
    "richhf": 18,
    "visionreward": 18,
    "hpdv3": 15,
    "imagerewarddb": 18,
    "csv": 18,
} | {**{"imagereward": 6, "hpd": 3, "labelstudio": 3, "argilla": 3}}


@every_format
def test_datasets_pandas_polars_and_duckdb_read_what_is_exported(judged, tmp_path, format):
    exported(judged, format, tmp_path / "out")
    held = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    file = next(iter(sorted((tmp_path / "out").glob(FORMATS[format].data))))
    of_pandas, of_polars, of_duckdb = {
        ".parquet": (pandas.read_parquet, polars.read_parquet, duckdb.read_parquet),
        ".json": (pandas.read_json, polars.read_json, duckdb.read_json),
        ".jsonl": (partial(pandas.read_json, lines=True), polars.read_ndjson, duckdb.read_json),
        ".csv": (pandas.read_csv, polars.read_csv, duckdb.read_csv),
    }[file.suffix]
    counts = [len(held), len(of_pandas(file)), len(of_polars(file)), len(of_duckdb(str(file)))]
    assert counts == [COUNTED[format]] * 4
    if format == "imagerewarddb":
        assert set(held["rank"]) == {1, 2, 3, 4}
        assert set(held[0]["problems"]) == {"body", "blurry"}
    elif format == "pickapic":
        assert set(held["label_0"]) == {0.0, 0.5, 1.0}
        sizes = Image.objects.values_list("sha256", "bytes")
        assert {(row["image_0_uid"], len(row["jpg_0"])) for row in held} <= set(sizes)
    elif format == "dpo":
        assert {row["chosen"].size for row in held} == {(8, 8)}
    elif format == "richhf":
        assert {row["image"].size for row in held} == {(8, 8)}
        assert set(held["overall_score"]) <= {numpy.float32(k / 6) for k in range(7)}
    elif format not in ("labelstudio", "argilla"):
        assert len(set(held["prompt"])) == len(TEXTS)


def test_a_picture_is_in_pick_a_pics_rows_once_a_column(large, tmp_path):
    exported(large, "pickapic", tmp_path / "out")
    table = parquet.ParquetFile(tmp_path / "out/data/train-000001.parquet")
    column = table.schema_arrow.get_field_index("jpg_0")
    assert "RLE_DICTIONARY" in table.metadata.row_group(0).column(column).encodings


def test_image_files_may_be_left_out(judged, tmp_path):
    exported(judged, "imagerewarddb", tmp_path / "out", with_images=False)
    assert set(contents(tmp_path / "out")) == {"README.md", "metadata-train.parquet"}
    assert set(parquet.read_table(tmp_path / "out/metadata-train.parquet")["image_path"].to_pylist()) == {
        None
    }


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if format.has_images])
def test_an_image_that_was_damaged_in_the_storage_is_in_no_export(judged, tmp_path, format):
    image = Image.objects.first()
    whole = Path(image.file.path).read_bytes()
    for damaged in (whole[:30], whole[:-1] + b"x"):
        Path(image.file.path).write_bytes(damaged)
        with pytest.raises(ExportFailed, match=rf"{image.file.name} is not as it was stored"):
            exported(judged, format, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_image_that_is_gone_from_the_storage_is_named(judged, tmp_path):
    default_storage.delete(Image.objects.first().file.name)
    with pytest.raises(ExportFailed, match="cannot be read from the storage"):
        exported(judged, "pickapic", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_or_bursting_zip_or_a_missing_image_is_refused(
    project, a_project, foxes, written, tmp_path, settings
):
    rows = [{"id": "1", "prompt": "a fox", "generations": ["a.png", "b.png"], "ranking": [1, 2]}]
    import_rankings(project=project, file=written("r.json", rows), now=NOW)
    exported(project, "imagerewarddb", tmp_path / "out")
    table, pack = tmp_path / "out/metadata-train.parquet", tmp_path / "out/images/train/train_1.zip"
    whole = pack.read_bytes()
    elsewhere = a_project()
    pack.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImportRefused, match=r"train_1\.zip: cannot be unpacked"):
        import_rankings(project=elsewhere, file=table, now=NOW)
    settings.IMAGE_MAX_BYTES = 50
    pack.write_bytes(whole)
    with pytest.raises(ImportRefused, match=r"train_1\.zip: .*\.png: 77 bytes are more than 50"):
        import_rankings(project=elsewhere, file=table, now=NOW)
    with zipfile.ZipFile(pack, "w") as fresh:
        fresh.writestr("train_1.json", json.dumps([]))
    with pytest.raises(ImportRefused, match="2 of 2 image files are missing"):
        import_rankings(project=elsewhere, file=table, now=NOW)
    assert not elsewhere.prompts.exists()
    settings.IMAGE_MAX_BYTES = 50_000_000
    pack.write_bytes(whole)
    assert import_rankings(project=elsewhere, file=table, now=NOW).images == 2


def test_a_folder_that_holds_something_is_left_alone(imported, tmp_path):
    (tmp_path / "out").mkdir()
    exported(imported, "imagereward", tmp_path / "out")
    with pytest.raises(ExportFailed, match="holds something already"):
        exported(imported, "imagereward", tmp_path / "out")
    with pytest.raises(ExportFailed, match="cannot be written"):
        exported(imported, "imagereward", tmp_path / "r.json")


def test_a_streamed_list_is_the_list(imported, a_project):
    assert json.loads("".join(imagereward.stream(Selection(imported, until=NOW)))) == RANKINGS
    assert json.loads("".join(imagereward.stream(Selection(a_project(), until=NOW)))) == []


def test_the_command_writes_and_counts_and_refuses_with_one_line(imported, tmp_path, capsys):
    call_command("export_preferences", imported.slug, "--format", "imagereward", "--to", tmp_path / "out")
    assert "3 rankings of 7 images: 3 pairs in different slots, 2 tied" in capsys.readouterr().out
    with pytest.raises(CommandError, match="holds something already"):
        call_command("export_preferences", imported.slug, "--to", tmp_path / "out")
    with pytest.raises(CommandError, match="no project 'nope'"):
        call_command("export_preferences", "nope", "--to", tmp_path / "other")
    with pytest.raises(CommandError, match="no time as"):
        call_command("export_preferences", imported.slug, "--to", "other", "--after", "yesterday")


def test_the_form_offers_every_format_and_names_those_that_can_hold_images():
    fields = ExportForm().fields
    assert fields["format"].choices == [(name, format.label) for name, format in FORMATS.items()]
    assert fields["with_images"].help_text == (
        "Only ImageRewardDB, DPO triples, Pick-a-Pic, RichHF-18K, VisionRewardDB-Image, HPD v3 JSON and "
        "Label Studio can hold them."
    )
