"""Setting up projects: settings, guideline versions, members."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Max

from annotation.access import CREATOR
from annotation.models import Acknowledgement, Action, Guideline, Membership, Project, User
from annotation.services.actions import record_action
from annotation.services.projects.prompts import try_lock_prompts

Kind = Action.Kind

# Settings that answers depend on: if they changed, answers of one project could not be compared.
FROZEN = frozenset(
    {"asks_label", "asks_ratings", "axes", "asks_acceptable", "slots", "per_slot", "opinions_per_prompt"}
)


class SettingsFrozen(Exception):
    """Assignments are open already, or an import may bring some, so `fields` cannot change."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


@transaction.atomic
def create_project(*, slug: str, name: str, admin: User, guideline: str, **settings: Any) -> Project:
    """Create a project with its first guideline and its first admin.

    Args: settings: fields of Project; the others have the paper's values.
    Raises: ValidationError naming the fields that are out of range, or a slug in use; TypeError for a
        setting that does not exist.
    """
    project = Project(slug=slug, name=name, **settings)
    project.full_clean()
    project.save()
    Guideline.objects.create(project=project, version=1, text=guideline)
    Membership.objects.create(project=project, user=admin, role=CREATOR)
    record_action(Kind.PROJECT_CREATED, project=project, by=admin, subject=slug)
    return project


@transaction.atomic
def publish_guideline(*, project: Project, text: str, by: User | None = None) -> Guideline:
    """Publish a new version, which everybody is asked to read. Args: by: None for a command."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two publishers, two versions
    newest = project.guidelines.aggregate(newest=Max("version"))["newest"] or 0
    record_action(Kind.GUIDELINE_PUBLISHED, project=project, by=by, subject=f"version {newest + 1}")
    return Guideline.objects.create(project=project, version=newest + 1, text=text)


def acknowledge(*, guideline: Guideline, user: User) -> Acknowledgement:
    """Record that the user read this version. Idempotent."""
    acknowledgement, _ = Acknowledgement.objects.get_or_create(guideline=guideline, user=user)
    return acknowledgement


@transaction.atomic
def add_member(*, project: Project, user: User, role: str, by: User | None = None) -> Membership:
    """Give the user a role, replacing their current one.

    Args: by: None for a command.
    Raises: ValueError for an unknown role.
    """
    membership, _ = Membership.objects.update_or_create(
        project=project, user=user, defaults={"role": Membership.Role(role)}
    )
    record_action(Kind.MEMBER_ADDED, project=project, by=by, subject=user, role=role)
    return membership


@transaction.atomic
def remove_member(*, project: Project, user: User, by: User | None = None) -> None:
    """Remove the user's membership; their answers stay, and leased assignments return when the lease ends."""
    removed, _ = Membership.objects.filter(project=project, user=user).delete()
    if removed:
        record_action(Kind.MEMBER_REMOVED, project=project, by=by, subject=user)


@transaction.atomic
def change_settings(*, project: Project, by: User | None = None, **settings: Any) -> Project:
    """Change the given settings.

    Raises: SettingsFrozen when work is open already, or something is being imported, and one of FROZEN would
        change; ValidationError naming the fields that are out of range.
    """
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    frozen = sorted(name for name in FROZEN & set(settings) if getattr(project, name) != settings[name])
    if frozen and (not try_lock_prompts(project) or project.assignments.exists()):
        raise SettingsFrozen(frozen)
    before = {name: getattr(project, name) for name in settings}
    for name, value in settings.items():
        setattr(project, name, value)
    project.full_clean()
    project.save(update_fields=list(settings))
    changed = {name: [before[name], value] for name, value in settings.items() if before[name] != value}
    if changed:
        record_action(Kind.SETTINGS_CHANGED, project=project, by=by, subject=", ".join(changed), **changed)
    return project
