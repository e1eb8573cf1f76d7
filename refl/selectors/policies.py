"""How a project tunes its generator and makes images."""

from __future__ import annotations

from annotation.models import Project
from refl.models import TuningPolicy


def policy_of(project: Project) -> TuningPolicy:
    """Return the project's policy; where it has none, an unsaved one that is off, with the defaults."""
    return TuningPolicy.objects.filter(project=project).first() or TuningPolicy(project=project)
