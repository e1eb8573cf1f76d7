"""The curves of a run in files: what other programs find there, also after an interruption."""

import csv
import json
import math
import struct

import pytest

from rewardmodel.learning.curves import CurveFiles, to_csv, to_json


def events(folder):
    """(tag, step, value) of every scalar in the folder's event files, in order.

    Source: the record format of TensorFlow's record_writer.cc: length, its checksum, data, its checksum.
    """
    from tensorboardX.proto.event_pb2 import Event

    scalars = []
    for file in sorted((folder / "curves" / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            scalars += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return scalars


def recorded(folder, steps, *, done=0):
    with CurveFiles(folder, done=done) as curves:
        for step in steps:
            curves.record(step, {"loss": 1 / step, "guards/drift": step / 2 if step % 2 == 0 else None})


def test_every_curve_is_in_the_table_in_the_json_and_in_tensorboards_files(tmp_path):
    recorded(tmp_path, [1, 2, 3])
    with (tmp_path / "curves/curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["guards/drift"]) for row in rows] == [("1", ""), ("2", "1.0"), ("3", "")]
    assert [float(row["loss"]) for row in rows] == [1, 1 / 2, 1 / 3]
    curves = json.loads((tmp_path / "curves/curves.json").read_text())
    assert curves == {"loss": [[1, 1], [2, 1 / 2], [3, 1 / 3]], "guards/drift": [[2, 1]]}
    shown = events(tmp_path)
    assert [(tag, step) for tag, step, _ in shown] == [
        ("loss", 1),
        ("loss", 2),
        ("guards/drift", 2),
        ("loss", 3),
    ]
    assert [value for tag, _, value in shown if tag == "loss"] == pytest.approx([1, 1 / 2, 1 / 3])


def test_a_resumed_run_writes_no_step_twice(tmp_path):
    recorded(tmp_path / "whole", range(1, 7))
    broken = tmp_path / "broken"
    recorded(broken, range(1, 6))
    recorded(broken, range(4, 7), done=3)
    for name in ("curves.csv", "curves.json"):
        assert (broken / "curves" / name).read_text() == (tmp_path / "whole/curves" / name).read_text()
    assert events(broken) == events(tmp_path / "whole")


def test_a_line_that_a_killed_run_left_half_written_is_forgotten(tmp_path):
    recorded(tmp_path, [1, 2])
    with (tmp_path / "curves/points.jsonl").open("a") as file:
        file.write('{"step": 3, "ti')
    recorded(tmp_path, [3], done=3)
    curves = json.loads((tmp_path / "curves/curves.json").read_text())
    assert curves["loss"] == [[1, 1], [2, 1 / 2], [3, 1 / 3]]


def test_a_run_that_fails_leaves_the_curves_it_had(tmp_path):
    def fail():
        with CurveFiles(tmp_path) as curves:
            curves.record(1, {"loss": 2.0})
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert (tmp_path / "curves/curves.csv").read_text() == "step,loss\n1,2.0\n"


def test_what_is_no_finite_number_is_left_out(tmp_path):
    with CurveFiles(tmp_path) as curves:
        curves.record(1, {"loss": math.nan, "accuracy": math.inf, "margin": 1.0})
    assert json.loads((tmp_path / "curves/curves.json").read_text()) == {"margin": [[1, 1.0]]}


def test_a_run_that_measured_nothing_has_empty_tables():
    assert (to_csv([]), to_json([])) == ("step\n", "{}")
