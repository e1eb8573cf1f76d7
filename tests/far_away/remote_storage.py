"""A storage that gives no paths, as S3 gives none."""

import os

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage


class RemoteStorage(Storage):
    """Keeps files in a folder that only this class knows, from the environment."""

    def __init__(self):
        self.files = FileSystemStorage(location=os.environ["REMOTE_STORAGE_FOLDER"])

    def _open(self, name, mode="rb"):
        return self.files.open(name, mode)

    def _save(self, name, content):
        return self.files.save(name, File(content))

    def exists(self, name):
        return self.files.exists(name)

    def size(self, name):
        return self.files.size(name)

    def delete(self, name):
        self.files.delete(name)
