"""Who did what: rows that are only ever added."""

from __future__ import annotations

from django.db import models

from annotation.models.people import User
from annotation.models.projects import Project

SUBJECT_LENGTH = 200


class Action(models.Model):
    """Something that an admin, an inspector or a rule did. The database refuses to change or delete it."""

    class Kind(models.TextChoices):
        ACCOUNT_MADE = "account.made", "Account made"
        PASSWORD_CHANGED = "password.changed", "Password changed"
        TOKEN_MADE = "token.made", "Token made"
        TOKEN_REVOKED = "token.revoked", "Token revoked"
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
        RANKINGS_ADDED = "rankings.added", "Rankings added"
        WORK_OPENED = "work.opened", "Opinions asked for"
        EXPORTED = "export.requested", "Export asked for"
        EXPORT_CANCELLED = "export.cancelled", "Export cancelled"
        EXPORT_RETRIED = "export.retried", "Export tried again"
        EXPORT_DELETED = "export.deleted", "Export deleted"
        WEBHOOK_MADE = "webhook.made", "Webhook made"
        WEBHOOK_SWITCHED = "webhook.switched", "Webhook switched"
        WEBHOOK_RENEWED = "webhook.renewed", "Webhook's secret renewed"
        WEBHOOK_TRIED = "webhook.tried", "Event sent by hand"
        WEBHOOK_DELETED = "webhook.deleted", "Webhook deleted"
        RUN_REQUESTED = "run.requested", "Run asked for"
        RUN_CANCELLED = "run.cancelled", "Run cancelled"
        RUN_RETRIED = "run.retried", "Run tried again"
        SELECTION_DISCARDED = "selection.discarded", "Selection discarded"
        CHECKPOINT_PROMOTED = "checkpoint.promoted", "Reward model promoted"

    # Null: it concerns no project alone.
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="actions")
    # Null: a rule or a command.
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="actions")
    kind = models.CharField(max_length=24, choices=Kind)
    subject = models.CharField(max_length=SUBJECT_LENGTH, blank=True)  # whom or what, as it was called then
    details = models.JSONField(default=dict)  # what changed, by name
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["project", "-id"], name="actions_of_a_project")]

    def __str__(self) -> str:
        return f"{self.actor or 'by itself'}: {self.kind} {self.subject}"
