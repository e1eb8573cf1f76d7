"""The wheel, installed where there is nothing but what its `reward` extra asks for, and no network."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
SCORE = """
import socket, sys
def refuse(*address): raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from rewardmodel.learning import load
assert "torch" not in sys.modules
model = load(sys.argv[1])
ranks, rewards = model.inference_rank("a red circle on a white background", sys.argv[2:])
alone = model.score("a red circle on a white background", sys.argv[2])
assert abs(alone - rewards[0]) < 1e-4, (alone, rewards)
assert ranks == [1, 2], (ranks, rewards)
print(sorted({"django", "torchvision", "diffusers", "datasets", "accelerate"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that the checkout stays as it is."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in ("annotation", "config", "demo", "refl", "rewardmodel"):
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "weights")
        )
    built = subprocess.run(
        [sys.executable, "-c", BUILD, target], cwd=source, check=False, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    [file] = target.glob("*.whl")
    return file


@pytest.fixture
def python(tmp_path, wheel):
    """An environment with the wheel, and what its extra `reward` needs out of the one that runs the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    [packages] = (tmp_path / "env").glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    [own] = packages.glob("*.dist-info")
    wanted = [
        line.removeprefix("Requires-Dist: ")
        for line in (own / "METADATA").read_text().splitlines()
        if line.startswith("Requires-Dist: ")
    ]
    for name in needed([Requirement(line) for line in wanted], "reward"):
        link(name, packages)
    return tmp_path / "env" / "bin" / "python"


def needed(requirements, extra, found=None):
    """The installed distributions that these need, and what those need in turn."""
    found = set() if found is None else found
    for requirement in requirements:
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
        if not applies or requirement.name in found:
            continue
        try:
            needs = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            continue  # of another platform
        found.add(requirement.name)
        needed([Requirement(line) for line in needs], "", found)
    return found


def link(name, packages):
    for file in distribution(name).files:
        top = file.parts[0]
        if top not in ("..", "__pycache__") and not (packages / top).exists():
            (packages / top).symlink_to(distribution(name).locate_file(top))


def test_it_holds_the_libraries_and_no_page(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        *("annotation", "laurel_preferences", "refl", "rewardmodel")
    }
    assert {name.rpartition("/")[0] for name in names if name.startswith("annotation/")} == {
        "annotation/statistics"
    }
    assert {"/".join(name.split("/")[:2]) for name in names if ".dist-info" not in name} == {
        *("annotation/statistics", "refl/learning", "rewardmodel/learning")
    }
    assert {"rewardmodel/learning/cli/main.py", "rewardmodel/learning/py.typed"} <= set(names)


def test_it_scores_offline_without_django_torchvision_and_diffusers(python, tmp_path):
    from PIL import Image, ImageDraw

    for name, colour in (("red.png", "red"), ("blue.png", "blue")):
        picture = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(picture).ellipse((16, 16, 48, 48), fill=colour)
        picture.save(tmp_path / name)
    weights = ROOT / "demo" / "weights" / "encoder"
    scored = subprocess.run(
        [python, "-c", SCORE, weights, "red.png", "blue.png"],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert scored.returncode == 0, scored.stderr
    assert scored.stdout == "[]\n"
    absent = subprocess.run([python, "-c", "import django"], check=False, capture_output=True, text=True)
    assert "No module named 'django'" in absent.stderr
