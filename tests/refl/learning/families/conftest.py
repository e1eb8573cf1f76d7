from pkgutil import resolve_name

import pytest

from refl.learning.families import FAMILIES
from tests.refl.learning.families.pipelines import build


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The folder of a kind of pipeline, built and saved when it is first asked for."""
    folders = {}

    def folder_of(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp("pipeline")
            build(kind).save_pretrained(folders[kind])
        return folders[kind]

    return folder_of


@pytest.fixture
def family_of():
    """The family of a kind of pipeline, for images of 16 pixels; what `saved` holds, not read from there."""

    def build_family(kind):
        pipeline = build(kind)
        pipeline.set_progress_bar_config(disable=True)
        family = resolve_name(FAMILIES[type(pipeline).__name__])(pipeline)
        family.resize(16)  # FLUX would make 256 pixels
        return family

    return build_family
