"""`laurel-reward`, as a shell uses it."""

import csv
import io
import json
import math
import shutil

import pytest
import torch
from PIL import Image

from rewardmodel.learning import load
from rewardmodel.learning.cli.main import main


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them deeper, and a file that is none."""
    images = tmp_path / "images"
    (images / "more").mkdir(parents=True)
    for name, red in (("a.png", 20), ("b.webp", 130), ("more/c.PNG", 240)):
        Image.new("RGB", (20, 16), (red, 90, 90)).save(images / name)
    (images / "notes.txt").write_text("no picture")
    return images


@pytest.fixture
def run(initial, capsys):
    """Run a command with the tiny model; its exit status, output and errors."""

    def call(command, *arguments):
        status = main([command, "--model", str(initial), "--device", "cpu", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def test_a_folder_is_scored_in_each_form(run, folder, initial):
    asked = ("--prompt", "a red circle", folder)
    status, out, _ = run("score", *asked)
    rows = list(csv.DictReader(io.StringIO(out)))
    files = [folder / "a.png", folder / "b.webp", folder / "more/c.PNG"]
    assert status == 0
    assert [row["file"] for row in rows] == [str(file) for file in files]
    expected = load(initial, "cpu").score("a red circle", files)
    assert [float(row["score"]) for row in rows] == pytest.approx(expected, abs=1e-5)
    _, out, _ = run("score", *asked, "--format", "json")
    assert [row["score"] for row in json.loads(out)] == pytest.approx(expected, abs=1e-5)
    _, out, _ = run("score", *asked, "--format", "jsonl")
    assert [json.loads(line)["file"] for line in out.splitlines()] == [row["file"] for row in rows]


def test_where_the_model_knows_a_score_says_where_it_stands(run, folder, initial, tmp_path):
    asked = ("--prompt", "a red circle", folder, "--format", "json")
    assert {row["percentile"] for row in json.loads(run("score", *asked)[1])} == {None}
    known = tmp_path / "known"
    shutil.copytree(initial, known)
    config = json.loads((known / "config.json").read_text())
    config["reference"] = {"quantiles": [n / 50 - 1 for n in range(101)], "images": 40, "temperature": 0.5}
    (known / "config.json").write_text(json.dumps(config))
    for row in json.loads(run("rank", "--model", known, *asked)[1]):
        assert row["percentile"] == pytest.approx(min(100, max(0, 50 * (row["score"] + 1))))
        assert row["preferred"] == pytest.approx(1 / (1 + math.exp(-row["score"] / 0.5)))
    config["reference"]["quantiles"] = [1.0]
    (known / "config.json").write_text(json.dumps(config))
    assert "a reference has 101 finite quantiles" in run("rank", "--model", known, *asked)[2]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_list_has_a_prompt_for_each_file(run, folder, initial, suffix):
    rows = [{"prompt": "a red circle", "file": "a.png"}, {"prompt": 'a "blue", square', "file": "b.webp"}]
    listing = folder / f"list.{suffix}"
    with listing.open("w", newline="") as file:
        if suffix == "csv":
            writer = csv.DictWriter(file, ["prompt", "file"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    _, out, _ = run("score", "--list", listing, "--format", "json")
    scored = json.loads(out)
    assert [row["prompt"] for row in scored] == [row["prompt"] for row in rows]
    model = load(initial, "cpu")
    for row, asked in zip(scored, rows, strict=True):
        assert row["score"] == pytest.approx(model.score(asked["prompt"], folder / asked["file"]), abs=1e-5)


def test_a_broken_list_is_refused_with_its_row(run, folder):
    listing = folder / "list.jsonl"
    listing.write_text('{"prompt": "a", "file": "a.png"}\n{"prompt": "a"}\n')
    assert run("score", "--list", listing)[::2] == (1, f"laurel-reward: {listing}, row 2: no file\n")
    listing.write_text('{"prompt": "a", "file": "a.png"}\nnothing\n')
    assert "row 2" in run("score", "--list", listing)[2]
    assert "cannot be read" in run("score", "--list", folder / "none.csv")[2]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (r'{"prompt": "a \ud83d", "file": "a.png"}', "the prompt is not valid Unicode: 'a \\ud83d'"),
        (r'{"prompt": "a\u0000", "file": "a.png"}', r"the prompt has a NUL: 'a\x00'"),
        (r'{"prompt": "a", "file": "a\u0000.png"}', "the file's name has a NUL"),
        ("[" * 3000, "maximum recursion depth"),
        ('{"prompt": NaN, "file": "a.png"}', "no prompt"),
    ],
)
def test_a_list_with_what_is_no_text_is_refused_in_one_line(run, folder, row, said):
    listing = folder / "list.jsonl"
    listing.write_text(row + "\n")
    status, out, errors = run("score", "--list", listing)
    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert f"{listing}, row 1: " in errors
    assert said in errors


@pytest.mark.skipif(torch.cuda.is_available(), reason="the devices are missing where there is no GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu", "xla", ""])
def test_a_device_that_is_not_there_is_named_in_one_line(run, folder, device, a_dataset, initial, capsys):
    status, out, errors = run("score", "--prompt", "a", folder, "--device", device)
    assert (status, out, errors.count("\n")) == (1, "", 1)
    assert f"device {device!r} cannot be used here: " in errors
    assert errors.endswith("There is cpu alone.\n")
    given = [
        "--dataset",
        a_dataset,
        "--initial",
        initial,
        "--to",
        folder / "run",
        "--device",
        device or "gpu",
    ]
    assert main(["train", *map(str, given)]) == 1
    assert "cannot be used here" in capsys.readouterr().err


def test_ranking_puts_the_best_first(run, folder):
    _, out, _ = run("rank", "--prompt", "a red circle", folder, "--format", "json")
    rows = json.loads(out)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)


def test_a_broken_file_ends_it_or_is_a_row_that_says_why(run, folder):
    (folder / "b.webp").write_bytes(b"")
    status, out, errors = run("score", "--prompt", "a red circle", folder)
    assert (status, out) == (1, "")
    assert "b.webp: not a whole image" in errors
    status, out, errors = run("score", "--prompt", "a red circle", folder, "--keep-going", "--format", "json")
    rows = json.loads(out)
    assert status == 1
    assert "1 files failed" in errors
    assert [row["score"] is None for row in rows] == [False, True, False]
    assert "b.webp: not a whole image" in rows[1]["error"]
    _, out, _ = run("rank", "--prompt", "a red circle", folder, "--keep-going", "--format", "json")
    assert [row["rank"] for row in json.loads(out)] == [1, 2, None]


def test_scores_are_written_into_pngs_when_asked_to(run, folder):
    before = (folder / "a.png").read_bytes()
    run("score", "--prompt", "a red circle", folder / "a.png")
    assert (folder / "a.png").read_bytes() == before
    _, out, _ = run("score", "--prompt", "a red circle", folder / "a.png", "--write-png-info")
    [row] = csv.DictReader(io.StringIO(out))
    with Image.open(folder / "a.png") as image:
        assert image.text == {"parameters": f"ImageReward Score: {float(row['score']):.4f}"}
    status, _, errors = run("score", "--prompt", "a red circle", folder / "b.webp", "--write-png-info")
    assert status == 1
    assert "b.webp: no score can be written into it (not a PNG)" in errors


def test_a_prompt_not_read_to_its_end_is_told(run, folder):
    status, out, errors = run("score", "--prompt", "red " * 40, folder / "a.png", "--format", "json")
    assert status == 0
    assert json.loads(out)[0]["unread"] == 7
    assert "1 rows have a prompt that is not read to its end" in errors


def test_what_was_left_out_is_asked_for(run, folder, tmp_path):
    assert "give a --prompt and images, or a --list" in run("score", folder)[2]
    assert "--list has the prompts" in run("score", "--list", folder / "list.csv", "--prompt", "a")[2]
    (tmp_path / "empty").mkdir()
    assert "no images in this folder" in run("score", "--prompt", "a", tmp_path / "empty")[2]


def test_a_model_that_is_not_there_is_named(folder, capsys):
    assert main(["score", "--model", "nowhere", "--prompt", "a", str(folder)]) == 1
    assert capsys.readouterr().err == "laurel-reward: nowhere: no such checkpoint\n"


def test_training_needs_no_more_than_the_shell(run, initial, a_dataset, tmp_path, capsys):
    fields = ["epochs=1", "batch_pairs=8", "validations_per_epoch=1", "seed=1"]
    arguments = ["--dataset", a_dataset(), "--initial", initial, "--to", tmp_path / "run", "--device", "cpu"]
    assert (
        main(["train", *map(str, arguments), *(each for field in fields for each in ("--set", field))]) == 0
    )
    trained = json.loads(capsys.readouterr().out.splitlines()[-1])["checkpoint"]
    assert main(["score", "--model", trained, "--prompt", "a", str(tmp_path / "dataset/images")]) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [("epoch=3", "no field 'epoch'; there are learning_rate, "), ("ties=[", "ties=[: the value is")],
)
def test_a_field_that_cannot_be_set_is_named(given, said, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--dataset", "d", "--initial", "i", "--to", "t", "--set", given])
    assert said in capsys.readouterr().err
