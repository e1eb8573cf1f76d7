"""The action log: rows that are only added, each sealed over its content and the row before."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from annotation.models.people import User
from annotation.models.projects import Project
from annotation.registry import action_choices, register_action

SUBJECT_LENGTH = 200
NAMED_PROMPTS = 4


class ActionKindField(models.CharField):  # type: ignore[type-arg]  # no generic class at run time
    """The kind of an action. Migrations do not list the choices: apps register kinds without one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"choices": action_choices})

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, _, arguments, options = super().deconstruct()
        del options["choices"]
        return name, "django.db.models.CharField", list(arguments), options


class Action(models.Model):
    """An action of an admin, an inspector or a rule. The database refuses updates and deletes.

    Names of people stand in `subject` and `details` alone, which the erasure of a person may change.
    """

    class Kind(models.TextChoices):
        """The kinds that this app logs. Other apps register theirs in their services."""

        ACCOUNT_MADE = "account.made", "Account made"
        PASSWORD_CHANGED = "password.changed", "Password changed"
        RESET_LINK_MADE = "password.link", "Link for a new password made"
        EMAIL_CHANGED = "email.changed", "Mail address changed"
        TOKEN_MADE = "token.made", "Token made"
        TOKEN_MADE_FOR = "token.made_for", "Token made by command"
        TOKEN_REVOKED = "token.revoked", "Token revoked"
        SIGNED_IN = "session.began", "Signed in"
        SIGN_IN_FAILED = "session.refused", "Sign-in failed"
        SIGNED_OUT = "session.ended", "Signed out"
        ERASED = "person.erased", "Person erased"
        SHORTENED = "log.shortened", "Old entries removed"
        PROJECT_CREATED = "project.created", "Project created"
        SETTINGS_CHANGED = "settings.changed", "Settings changed"
        GUIDELINE_PUBLISHED = "guideline.published", "Guideline published"
        MEMBER_ADDED = "member.added", "Role given"
        MEMBER_REMOVED = "member.removed", "Role taken away"
        INVITED = "invitation.made", "Invitation made"
        INVITATION_REVOKED = "invitation.revoked", "Invitation revoked"
        JOINED = "invitation.used", "Joined by invitation"
        REVISED = "answer.revised", "Own answer changed"
        ACCEPTED = "answer.accepted", "Answer accepted"
        SENT_BACK = "answer.sent_back", "Answer sent back"
        PAUSED = "annotator.paused", "Annotator paused"
        LIFTED = "annotator.resumed", "Pause lifted"
        QUALIFIED = "annotator.qualified", "Qualification decided"
        REFERENCE_CHOSEN = "reference.chosen", "Reference chosen"
        REFERENCE_RETIRED = "reference.retired", "Reference retired"
        PROMPTS_ADDED = "prompts.added", "Prompts added"
        IMAGES_ADDED = "images.added", "Images added"
        IMPORT_CANCELLED = "import.cancelled", "Import called off"
        IMPORT_RETRIED = "import.retried", "Import tried again"
        RANKINGS_ADDED = "rankings.added", "Rankings added"
        WORK_OPENED = "work.opened", "Opinions asked for"
        WORK_WITHDRAWN = "work.withdrawn", "Opinions no longer asked for"
        EXPORTED = "export.requested", "Export asked for"
        EXPORT_CANCELLED = "export.cancelled", "Export cancelled"
        EXPORT_RETRIED = "export.retried", "Export tried again"
        EXPORT_DELETED = "export.deleted", "Export deleted"
        WEBHOOK_MADE = "webhook.made", "Webhook made"
        WEBHOOK_SWITCHED = "webhook.switched", "Webhook switched"
        WEBHOOK_RENEWED = "webhook.renewed", "Webhook's secret renewed"
        WEBHOOK_TRIED = "webhook.tried", "Event sent by hand"
        WEBHOOK_DELETED = "webhook.deleted", "Webhook deleted"
        RESTORED = "backup.restored", "Backup restored"

    # Null: not about a single project.
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="actions")
    # Null: a rule or a command.
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="actions")
    kind = ActionKindField(max_length=24)
    subject = models.CharField(max_length=SUBJECT_LENGTH, blank=True)  # whom or what, by its name then
    details = models.JSONField(default=dict)  # what changed, by name
    # The prompts it concerns, the first few: ids, because the log outlives what it names.
    prompt_ids = ArrayField(models.BigIntegerField(), default=list)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["project", "-id"], name="actions_of_a_project")]

    def __str__(self) -> str:
        return f"{self.actor or 'by itself'}: {self.kind} {self.subject}"


class Seal(models.Model):
    """The hash of one action and of the seal before. The database writes it as the action is committed.

    A trigger that runs at the end of the transaction takes the next number: only commits of logged actions
    wait for each other, and only while they commit. `hash` is of `previous` and the action with `words` in
    the place of subject and details; `words` of `salt`, subject and details. An erasure empties the salt:
    then nobody can guess what stood there, and the chain still holds.
    """

    number = models.BigIntegerField(primary_key=True)  # 1, 2, 3 ... in the order of commits
    # No constraint: an action that was removed by force leaves its seal.
    action = models.OneToOneField(Action, models.DO_NOTHING, db_constraint=False, related_name="seal")
    salt = models.CharField(max_length=32, blank=True)
    words = models.CharField(max_length=64)  # sha256, hex
    previous = models.CharField(max_length=64, blank=True)  # hash of the seal before; "" of the first
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"{self.number}:{self.hash[:12]}"


# Of these kinds the subject is a user name. Of others it may be equal to one: a format, a role, a version.
KINDS_ABOUT_PEOPLE = (
    Action.Kind.ACCOUNT_MADE,
    Action.Kind.PASSWORD_CHANGED,
    Action.Kind.RESET_LINK_MADE,
    Action.Kind.TOKEN_MADE_FOR,
    Action.Kind.EMAIL_CHANGED,
    Action.Kind.SIGNED_IN,
    Action.Kind.SIGN_IN_FAILED,
    Action.Kind.SIGNED_OUT,
    Action.Kind.ERASED,
    Action.Kind.MEMBER_ADDED,
    Action.Kind.MEMBER_REMOVED,
    Action.Kind.PAUSED,
    Action.Kind.LIFTED,
    Action.Kind.QUALIFIED,
)

for _kind in Action.Kind:
    register_action(_kind.value, _kind.label)
