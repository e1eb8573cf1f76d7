"""Settings of a process that a test starts while images are kept far away.

Outside of the package `tests`, which starts services for whoever imports it.
"""

from config.settings import *  # noqa: F403
from config.settings import STORAGES

STORAGES = {**STORAGES, "default": {"BACKEND": "remote_storage.RemoteStorage"}}
