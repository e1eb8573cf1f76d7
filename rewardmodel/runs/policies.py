"""What every kind of policy has: it is on or off, and configures the runs that it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model

from annotation.models import Project

P = TypeVar("P", bound=Model)


def lock_policy(policy: P) -> P | None:
    """Return the policy, locked until the transaction ends; None where it is off, or locked by another.

    Two schedulers must not start two runs, and a policy that is switched off starts none.
    """
    locked = type(policy)._default_manager.select_for_update(skip_locked=True)
    return locked.filter(pk=policy.pk, enabled=True).first()


def policy_config(policies: type[Model], project: Project) -> Mapping[str, Any]:
    """Return the configuration of the project's policy of that kind; {} where it has none."""
    rows = policies._default_manager.filter(project=project)
    config: Mapping[str, Any] | None = rows.values_list("config", flat=True).first()
    return config or {}
