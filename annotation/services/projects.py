"""Setting up what is judged together: settings, guideline versions, members."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Max

from annotation.models import Acknowledgement, Guideline, Membership, Project, User

# What answers depend on: changed in between, answers of one project could not be compared.
FROZEN = frozenset({"asks_label", "asks_ratings", "slots", "per_slot", "opinions_per_prompt"})


class SettingsFrozen(Exception):
    """Work is open already; `fields` may not change any more."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


@transaction.atomic
def create_project(*, slug: str, name: str, admin: User, guideline: str, **settings: Any) -> Project:
    """Make a project with its first guideline and its first admin.

    Args: settings: fields of Project; those not given have the paper's values.
    Raises: ValidationError naming the fields that are out of range, or a slug in use; TypeError for a
        setting that does not exist.
    """
    project = Project(slug=slug, name=name, **settings)
    project.full_clean()
    project.save()
    Guideline.objects.create(project=project, version=1, text=guideline)
    Membership.objects.create(project=project, user=admin, role=Membership.Role.ADMIN)
    return project


@transaction.atomic
def publish_guideline(*, project: Project, text: str) -> Guideline:
    """Add a version; everybody is asked to read it."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two publishers, two versions
    newest = project.guidelines.aggregate(newest=Max("version"))["newest"] or 0
    return Guideline.objects.create(project=project, version=newest + 1, text=text)


def acknowledge(*, guideline: Guideline, user: User) -> Acknowledgement:
    """Record that the user read this version; once, however often they say so."""
    read, _ = Acknowledgement.objects.get_or_create(guideline=guideline, user=user)
    return read


def add_member(*, project: Project, user: User, role: str) -> Membership:
    """Give the user a role, in place of the one they had.

    Raises: ValueError when there is no such role.
    """
    membership, _ = Membership.objects.update_or_create(
        project=project, user=user, defaults={"role": Membership.Role(role)}
    )
    return membership


def remove_member(*, project: Project, user: User) -> None:
    """Take the user's role away; what they answered stays, what they hold goes back when its lease ends."""
    Membership.objects.filter(project=project, user=user).delete()


@transaction.atomic
def change_settings(*, project: Project, **settings: Any) -> Project:
    """Change the settings named.

    Raises: SettingsFrozen when work is open already and one of FROZEN would change; ValidationError naming
        the fields that are out of range.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    frozen = sorted(name for name in FROZEN & set(settings) if getattr(project, name) != settings[name])
    if frozen and project.assignments.exists():
        raise SettingsFrozen(frozen)
    for name, value in settings.items():
        setattr(project, name, value)
    project.full_clean()
    project.save(update_fields=list(settings))
    return project
