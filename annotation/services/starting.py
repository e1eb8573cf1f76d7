"""Setting a project up with what is judged in it."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from annotation.models import Project, User
from annotation.services.imports import ImportedGenerations, ImportedPrompts, import_upload
from annotation.services.projects import create_project


@transaction.atomic
def start_project(
    *, admin: User, material: UploadedFile[bytes] | None = None, **project: Any
) -> tuple[Project, ImportedGenerations | ImportedPrompts | None]:
    """Make a project, and import the file into it where one is given; both or neither.

    Args: project: as `create_project` takes it.
    Raises: as `create_project`; ImportRefused.
    """
    made = create_project(admin=admin, **project)
    if material is None:
        return made, None
    return made, import_upload(project=made, name=material.name or "", content=material, by=admin)
