"""A file that was sent as what it is not: refused by what it holds, with the place where that is imported."""

import json

import pyarrow
import pytest
from pyarrow import parquet

from annotation.services.exports import FORMATS, export_to_folder
from annotation.services.imports import (
    ImportRefused,
    RankingOptions,
    import_generations,
    import_prompts,
    import_rankings,
)
from annotation.services.imports.prompts import check_prompts
from tests.annotation.exports.test_exports import ROWS
from tests.annotation.imports.rows import manifest_row, nothing_written, ranking_row
from tests.annotation.imports.test_uploads import imported, zipped
from tests.annotation.judged import judge
from tests.cast import NOW, picture

AS_RANKINGS = (
    "send it under Add rankings on the page Prompts, as `rankings` over the API, or import it by manage"
)
AS_PROMPTS = (
    "send it under Add prompts or images on the page Prompts, as `material` over the API, or import it by"
)


def test_rankings_of_every_format_are_not_taken_for_prompts(a_project, alice, tmp_path):
    project, elsewhere = judge(a_project(review_share=0.0), [alice], [(1, 3, 3)]), a_project()
    for format in FORMATS:
        export_to_folder(project=project, format=format, folder=tmp_path / format, now=NOW)
        table = tmp_path / format / ROWS[format]
        file = next(table.iterdir()) if table.is_dir() else table
        with pytest.raises(ImportRefused, match=f"{file.name}, row .: holds rankings, as its field"):
            check_prompts(file, takes_rankings=False)
        with pytest.raises(
            ImportRefused, match=f"^f.zip: has no manifest.jsonl. If f/{file.name} holds"
        ) as no:
            imported(elsewhere, "f.zip", zipped((f"f/{file.name}", file.read_bytes())))
        assert AS_RANKINGS in str(no.value)
    assert not elsewhere.prompts.exists()


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [
        ("r.jsonl", [manifest_row(ranking=[1, 2])], "ranking"),
        (
            "r.jsonl",
            [{"id": "1", "prompt": "a fox"}, {"id": "2", "prompt": "a hare", "ranking": [1]}],
            "ranking",
        ),
        ("r.jsonl", [{"text": "a fox", "image": "1", "slot": 1}], "slot"),
        ("r.csv", "id,prompt,slot,overall\n1,a fox,1,5\n", "slot"),
        ("r.tsv", "prompt_id\tprompt\tannotator\timage\tslot\n1\ta fox\tx\ta.png\t1\n", "slot"),
    ],
)
def test_prompts_with_rankings_are_refused_with_the_place_of_rankings(
    project, written, media, name, content, field
):
    file = written(name, content)
    with pytest.raises(
        ImportRefused, match=f"{name}, row .: holds rankings, as its field '{field}' tells"
    ) as no:
        import_prompts(project=project, file=file)
    assert AS_RANKINGS in str(no.value)
    with pytest.raises(ImportRefused, match=f"^{name}, row .: holds rankings"):
        imported(project, name, file.read_bytes())
    assert nothing_written(media)


def test_of_the_papers_rankings_the_command_takes_the_prompts_and_an_upload_is_refused(
    project, written, media
):
    file = written("r.json", [ranking_row("1"), ranking_row("2")])
    with pytest.raises(ImportRefused, match=r"^r\.json, row 1: holds rankings, as its field 'ranking' tells"):
        imported(project, "r.json", file.read_bytes())
    assert nothing_written(media)
    assert import_prompts(project=project, file=file).new == 2


def test_rankings_are_not_taken_for_images_with_their_prompts(project, written, foxes, tmp_path, media):
    table = tmp_path / "r.parquet"
    parquet.write_table(
        pyarrow.Table.from_pylist([{"prompt": "a fox", "chosen": "a", "rejected": "b"}]), table
    )
    for manifest in (table, written("m.jsonl", [manifest_row(ranking=[1, 2])])):
        with pytest.raises(ImportRefused, match=f"{manifest.name}, row 1: holds rankings"):
            import_generations(project=project, manifest=manifest)
    assert nothing_written(media)


PROMPTS = [
    ("p.jsonl", [{"id": "1", "prompt": "a fox"}]),
    ("p.json", [{"text": "a fox", "image": "1"}]),
    ("p.jsonl", [manifest_row()]),
    ("p.csv", "id,prompt\n1,a fox\n"),
    ("p.tsv", "id\tprompt\ttranslation\n1\ta fox\tein Fuchs\n"),
]


@pytest.mark.parametrize(("name", "content"), PROMPTS)
def test_prompts_are_not_taken_for_rankings(project, written, foxes, media, name, content):
    file = written(name, content)
    with pytest.raises(
        ImportRefused,
        match=rf"{name}, row .: holds no rankings: .* ranking, .* slot\. If it holds prompts",
    ) as no:
        import_rankings(project=project, file=file, now=NOW)
    assert AS_PROMPTS in str(no.value)
    with pytest.raises(ImportRefused, match=f"^{name}, row .: holds no rankings"):
        imported(project, name, file.read_bytes(), rankings=RankingOptions())
    assert nothing_written(media)


def test_metadata_and_manifests_are_not_taken_for_rankings(project, tmp_path, media):
    file = tmp_path / "metadata.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["a fox"], "image_name": ["a.png"], "part_id": [1]}), file)
    with pytest.raises(ImportRefused, match=r"metadata\.parquet, row 1: holds no rankings"):
        import_rankings(project=project, file=file, now=NOW)
    content = zipped(("manifest.jsonl", json.dumps(manifest_row(["a.png"]))), ("a.png", picture(1)))
    with pytest.raises(ImportRefused, match=r"manifest\.jsonl, row 1: holds no rankings"):
        imported(project, "f.zip", content, rankings=RankingOptions())
    assert nothing_written(media)
