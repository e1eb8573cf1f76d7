"""Reading files: any encoding and line end that people's programs write, in bounded memory."""

import codecs
import resource

import pyarrow
import pytest
from pyarrow import parquet

from annotation.services.imports import ImportRefused, import_prompts
from annotation.services.imports.parquet_tables import page_header
from annotation.services.imports.rows import LONGEST_ROW
from annotation.services.imports.tables import read_rows
from annotation.services.imports.texts import CHUNK, read_raw_lines
from tests.annotation.imports.rows import nothing_written

TABLE = 'id;prompt\r\nq1;a fox\r\nq2;"an owl; a \r\nhare"\r\n'
ROWS = [{"id": "q1", "prompt": "a fox"}, {"id": "q2", "prompt": "an owl; a \r\nhare"}]
LINES = '{"id": "1", "prompt": "a fox"}\n\n{"id": "2", "prompt": "an owl"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", TABLE.encode()),
        ("p.csv", codecs.BOM_UTF8 + TABLE.encode()),
        ("p.csv", f"sep=;\r\n{TABLE}".encode()),
        ("P.CSV", TABLE.encode("utf-16")),
        (
            "p.tsv",
            codecs.BOM_UTF16_BE + TABLE.replace(";", "\t").replace("owl\t", "owl;").encode("utf-16-be"),
        ),
        ("p.csv", TABLE.replace(";", ",").replace("owl,", "owl;").encode()),
    ],
)
def test_a_spreadsheets_table_is_read_whatever_it_was_saved_as(written, name, content):
    assert [row.fields for row in read_rows(written(name, content))] == ROWS


@pytest.mark.parametrize(
    "content",
    [b"mac one\rmac two\rmac three\r", b"\xef\xbb\xbfmac one\r\n\r\nmac two\n \nmac three"]
    + ["mac one\rmac two\r\nmac three".encode(code) for code in ("utf-8", "utf-16")],
)
def test_lines_end_with_cr_lf_or_both(project, written, content):
    assert import_prompts(project=project, file=written("P.TXT", content)).new == 3
    assert [prompt.text for prompt in project.prompts.all()] == ["mac one", "mac two", "mac three"]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_a_line_end_between_two_parts_of_a_file_is_one(written, end):
    file = written("p.txt", "x" * (CHUNK - 1) + end + "é" + end)
    assert list(read_raw_lines(file)) == ["x" * (CHUNK - 1) + end, "é" + end]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", LINES),
        ("p.JSONL", LINES.replace("\n\n", ",").join("[]")),
        ("p.json", f" [ {LINES.replace(f'}}{chr(10)}{chr(10)}', '}  , ')} ] "),
        ("p.jsonl", LINES.replace("\n", "\r")),
    ],
)
def test_a_list_of_objects_is_read_on_lines_or_as_one(written, name, content):
    rows = list(read_rows(written(name, content)))
    assert [row.fields["prompt"] for row in rows] == ["a fox", "an owl"]


def test_items_of_a_list_are_read_across_the_parts_of_a_file(written):
    rows = [{"id": str(number), "prompt": "é" * number} for number in (5, CHUNK, 3 * CHUNK, 1)]
    assert [row.fields for row in read_rows(written("p.json", rows))] == rows
    assert list(read_rows(written("p.json", "[]"))) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.txt", "x" * (LONGEST_ROW + 1), "row 1: is longer than 1,048,576 letters"),
        ("p.jsonl", "[" + "[]," * 2**19, "row 1: is longer than"),
        ("p.json", '[{"id": "1"}, {"id": "' + "x" * 2**21, "row 2: is longer than"),
        ("p.json", '[{"id": "1"} {"id": "2"}]', "row 1: is no JSON (no comma behind it)"),
        ("p.json", '[{"id": "1"}] []', "goes on behind the end of its list"),
        ("p.json", '[{"id": "1"},]', "row 2: is no JSON"),
        ("p.json", '{"id": "1"}\n{"id": "2"}', "objects on lines of their own belong in a .jsonl file"),
        ("p.csv", "id,prompt\nq1,a fox, red", "between commas as there are names"),
        ("p.csv", "sep=;\nid;prompt;id\nq1;a fox;q2", "row 2: has the column 'id' 2 times"),
        ("p.csv", TABLE.encode("utf-16-le"), "is UTF-16 without a byte order mark"),
        ("p.csv", TABLE.encode("utf-16")[:-1], "row 4: is no UTF-16"),
        ("p.csv", "id,prompt\nq1,ein Fuchs\xe4".encode("latin-1"), "row 2: is no UTF-8: save it"),
    ],
)
def test_what_cannot_be_read_is_refused_by_row(written, name, content, says):
    with pytest.raises(ImportRefused) as refused:
        list(read_rows(written(name, content)) if name != "p.txt" else read_raw_lines(written(name, content)))
    assert says in str(refused.value)


def repeated(text, rows):
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), [text])


def test_a_table_of_a_kilobyte_takes_no_gigabytes(project, tmp_path, media):
    """600 rows of one text of 2 MB: a batch of them took 4 GiB."""
    file = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"prompt": repeated("x" * 2_000_000, 600)}), file, compression="zstd")
    assert file.stat().st_size < 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImportRefused, match=r"p\.parquet: decodes to more than 16 MiB"):
        import_prompts(project=project, file=file, most_bytes=2**24)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB
    assert nothing_written(media)


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"prompt": repeated("x" * 20_000, 2000)}, {}),  # found as it is decoded
        ({"prompt": pyarrow.array(["x" * 2_000_000] * 20)}, {"use_dictionary": False}),  # by its listing
        ({"prompt": repeated("x", 500_000)}, {}),  # rows of nothing
        ({"prompt": ["x"], "other": pyarrow.array([[1] * 5_000_000])}, {}),
    ],
)
def test_a_table_that_decodes_to_too_much_is_refused(tmp_path, columns, options):
    file = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table(columns), file, compression="zstd", **options)
    with pytest.raises(ImportRefused, match=r"p\.parquet: decodes to more than 16 MiB"):
        list(read_rows(file, most_bytes=2**24))


def test_texts_that_share_their_fronts_are_refused(tmp_path):
    file = tmp_path / "p.parquet"
    encoding = {"use_dictionary": False, "column_encoding": {"prompt": "DELTA_BYTE_ARRAY"}}
    parquet.write_table(pyarrow.table({"prompt": ["a fox", "a fox, red"]}), file, **encoding)
    with pytest.raises(ImportRefused, match="'prompt' is encoded as DELTA_BYTE_ARRAY"):
        list(read_rows(file))


def test_a_tables_columns_are_checked_before_anything_is_decoded(project, tmp_path):
    file = tmp_path / "P.PARQUET"
    parquet.write_table(pyarrow.table({"prompt": ["a fox"], "weight": [1.0]}), file)
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(20) + content[24:])  # no page can be decoded any more
    with pytest.raises(ImportRefused, match="row 1: unknown field 'weight'"):
        import_prompts(project=project, file=file)


def test_a_pages_header_says_its_kind_and_size(tmp_path):
    file = tmp_path / "p.parquet"
    parquet.write_table(pyarrow.table({"prompt": repeated("x" * 300, 3)}), file)
    assert page_header(file.read_bytes()[4:20]) == (2, 304)  # the length of a text takes 4 bytes
    with pytest.raises(OSError, match="no header"):
        page_header(b"\x16\x04")
