"""Installing only the files whose hashes were written down."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shell(tmp_path):
    """Runs a line of sh in a checkout that has the scripts, two pins, and this Python as its .venv."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python-environment").write_text((ROOT / "bin/python-environment").read_text())
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '0'\n")
    (tmp_path / "constraints.txt").write_text("nothing-of-that-name==1.0\n")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "hashes").mkdir()

    def run(line):
        return subprocess.run(
            ["sh", "-c", f". bin/python-environment; {line}"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(tmp_path),
                "PIP_TARGET": str(tmp_path / "installed"),
            },
            capture_output=True,
            text=True,
        )

    run.folder = tmp_path
    return run


def test_hashes_of_other_pins_are_refused_before_anything_is_installed(shell):
    listed = shell.folder / "hashes/run.txt"
    listed.write_text(f"# {shell('hashes_are_for').stdout}")
    (shell.folder / "constraints.txt").write_text("nothing-of-that-name==2.0\n")
    refused = shell("install_hashed run web")
    assert refused.returncode == 1
    assert "hashes/run.txt is for another machine, another Python or other pins" in refused.stderr
    assert "bin/hash-packages" in refused.stderr


def test_a_file_that_differs_from_its_hash_is_not_installed(shell):
    name = "tiny_package-1.0"
    with zipfile.ZipFile(shell.folder / f"{name}-py3-none-any.whl", "w") as wheel:
        metadata = "Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n"
        wheel.writestr(f"{name}.dist-info/METADATA", metadata)
        wheel.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        wheel.writestr(f"{name}.dist-info/RECORD", "")
    listed = shell.folder / "hashes/run.txt"
    pinned = f"tiny-package==1.0 --hash=sha256:{'0' * 64}"
    listed.write_text(f"# {shell('hashes_are_for').stdout}{pinned}\n")
    refused = shell("install_hashed run web")
    assert refused.returncode == 1
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not (shell.folder / "installed").exists()
