"""Folders and servers of one test: nothing here touches the services the other tests run on."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.local.supervisor import Supervisor


@contextmanager
def a_folder():
    """A folder such as LAUREL_VAR, short enough to hold sockets."""
    folder = Path(tempfile.mkdtemp(prefix="laurel-var-")).resolve()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def var():
    with a_folder() as folder:
        yield folder


@pytest.fixture
def supervisor(var):
    supervisor = Supervisor(var, quiet=True)
    yield supervisor
    supervisor.stop()
