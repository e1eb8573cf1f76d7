import json

import pytest

from tests.cast import *  # noqa: F403
from tests.cast import picture


@pytest.fixture
def written(tmp_path):
    """Write a file: text or bytes as they are, a list as JSON lines or, for .json, as one list."""

    def write(name, content):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            lines = [json.dumps(item) for item in content]
            content = f"[{','.join(lines)}]" if file.suffix == ".json" else "\n".join(lines)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


@pytest.fixture
def foxes(written):
    """Three pictures beside the manifest."""
    for shade, name in enumerate(("a.png", "b.png", "c.png")):
        written(name, picture(shade))
