"""Who did what: rows that are only ever added."""

from __future__ import annotations

from django.db import models

from annotation.models.people import User
from annotation.models.projects import Project

SUBJECT_LENGTH = 200


class Action(models.Model):
    """Something that an admin, an inspector or a rule did. The database refuses to change or delete it."""

    class Kind(models.TextChoices):
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
        EXPORTED = "export.requested", "Export asked for"

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
