"""Importing prompts: all of a file or nothing of it, with a refusal that names file and row."""

import pyarrow
import pytest
from pyarrow import parquet

from annotation.services.imports import ImportRefused, import_prompts
from tests.annotation.imports.rows import manifest_row, nothing_written


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "a fox\n\n  an owl  \na fox\n"),
        ("p.jsonl", [{"id": "1", "prompt": "a fox"}, {"id": "2", "prompt": "an owl"}]),
        ("p.json", [{"id": "1", "prompt": "a fox"}, {"id": "2", "prompt": "an owl"}]),
        (
            "m.jsonl",
            [{"prompt_id": n, "prompt": p, "images": []} for n, p in (("1", "a fox"), ("2", "an owl"))],
        ),
        ("p.csv", "id,prompt\n1,a fox\n2,an owl\n"),
        ("refl.json", [{"text": "a fox", "image": "1"}, {"text": "an owl", "image": "2"}]),
    ],
)
def test_prompts_come_from_every_format_and_a_second_time_are_all_known(project, written, name, content):
    file = written(name, content)
    first = import_prompts(project=project, file=file)
    assert (first.new, first.known) == (2, 0)
    assert [prompt.text for prompt in project.prompts.all()] == ["a fox", "an owl"]
    again = import_prompts(project=project, file=file)
    assert (again.new, again.known, again.repeated) == (0, 2, first.repeated)


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
def test_translations_come_with_prompts_or_later(project, written, name):
    import_prompts(project=project, file=written("early.jsonl", [{"id": "1", "prompt": "a fox"}]))
    rows = [{"id": "1", "prompt": "a fox", "translation": "ein Fuchs"}, {"id": "2", "prompt": "an owl"}]
    table = "id,prompt,translation\n1,a fox,ein Fuchs\n2,an owl,\n"
    import_prompts(project=project, file=written(name, rows if name == "p.jsonl" else table))
    assert [prompt.translation for prompt in project.prompts.all()] == ["ein Fuchs", ""]


def test_prompts_come_from_diffusiondbs_metadata_each_text_once(project, tmp_path):
    file = tmp_path / "metadata.parquet"
    table = {"image_name": ["a", "b", "c"], "prompt": ["a fox", "an owl", "a fox"], "seed": [1, 2, 3]}
    parquet.write_table(pyarrow.table(table), file)
    done = import_prompts(project=project, file=file)
    assert (done.new, done.repeated) == (2, 1)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.jsonl", [{"id": "1", "prompt": "a"}, {"id": "1", "prompt": "b"}], "row 2: id '1' was in row 1"),
        ("p.jsonl", [{"id": "1", "prompt": "a", "size": 3}], "row 1: unknown field 'size'"),
        (
            "p.jsonl",
            [manifest_row(key="1", images=[]) | {"images": [{"file": "a.png", "rank": 1}]}],
            "'rank'",
        ),
        ("p.jsonl", [manifest_row(key="1") | {"images": "a.png"}], "row 1: 'images' is no list"),
        ("p.txt", '{"id": "1", "prompt": "a fox"}', "is JSON, not a prompt a line: name it .json"),
        ("p.txt", '[\n{"id": "1", "prompt": "a fox"}]', "is JSON, not a prompt a line"),
        ("p.txt", f"a fox\n{20_001 * 'x'}", "row 2: 'prompt' is longer than 20,000 letters"),
        ("p.jsonl", [{"id": "1"}], "row 1: field 'prompt' is missing"),
        ("p.csv", "id;text\n1;a fox", "row 2: field 'prompt' is missing: its fields are 'id', 'text'"),
        ("p.csv", "id|prompt\n1|a fox", "row 2: field 'id' is missing: its fields are 'id|prompt'"),
        ("p.jsonl", [{"id": 1, "prompt": "a"}], "row 1: 'id' is no text"),
        ("p.jsonl", [{"id": "1", "prompt": " "}], "row 1: 'prompt' is no text"),
        ("p.jsonl", [{"id": "1", "prompt": "a\0b"}], "row 1: 'prompt' holds a letter"),
        ("p.jsonl", '{"id": "1", "prompt": "\\ud800"}', "row 1: 'prompt' holds a letter"),
        ("p.jsonl", [{"id": "x" * 201, "prompt": "a"}], "row 1: 'id' is longer than 200"),
        ("p.jsonl", '{"id": "1", "prompt": "a"}\nhello', "row 2: is no JSON"),
        ("p.jsonl", '{"id": "1", "prompt": "a"}\n[]', "row 2: is no object"),
        ("p.jsonl", b'{"id": "1", "prompt": "a"}\n\xff', "row 2: is no UTF-8"),
        ("p.jsonl", "[" * 100_000, "row 1: is nested too deeply"),
        ("p.jsonl", '{"id": ' + "1" * 5000 + "}", "row 1: holds a number that is too long"),
        ("p.json", '[{"id": ' + "1" * 5000 + "}]", "holds a number that is too long"),
        ("p.txt", b"a fox\n\xe9t\xe9", "row 2: is no UTF-8"),
        ("p.txt", "a\0b", "row 1: 'prompt' holds a letter"),
        ("p.txt", "", "has no rows"),
        ("p.json", "{}", "is no list"),
        ("p.json", '[{"id": "1", "prompt": "a"},\n{"id"', "row 2: is no JSON"),
        ("p.json", b'[\n"\xff"]', "row 1: is no UTF-8"),
        ("p.parquet", "PAR1 not", "is no parquet"),
        ("p.csv", "id,prompt\n1", "row 2: has not as many cells"),
        ("p.xml", "a", "is none of .jsonl, .json, .csv, .tsv, .parquet"),
    ],
)
def test_a_bad_file_of_prompts_is_refused_by_name_and_row(project, written, media, name, content, says):
    with pytest.raises(ImportRefused) as refused:
        import_prompts(project=project, file=written(name, content))
    assert name in str(refused.value)
    assert says in str(refused.value)
    assert nothing_written(media)


def test_a_missing_file_of_prompts_is_refused(project, tmp_path):
    for name in ("no.txt", "no.jsonl", "no.json", "no.parquet"):
        with pytest.raises(ImportRefused, match=rf"{name}: is missing"):
            import_prompts(project=project, file=tmp_path / name)


def test_an_id_known_with_another_text_is_refused_with_all_of_its_file(project, written):
    import_prompts(project=project, file=written("p.jsonl", [{"id": "2", "prompt": "an owl"}]))
    file = written("q.jsonl", [{"id": "1", "prompt": "a fox"}, {"id": "2", "prompt": "a cat"}])
    with pytest.raises(ImportRefused, match=r"q\.jsonl, row 2: prompt '2' is known with another text"):
        import_prompts(project=project, file=file)
    assert [prompt.text for prompt in project.prompts.all()] == ["an owl"]
