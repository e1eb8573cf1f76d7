"""Read-only admin for superusers; writes go through pages, commands and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from annotation.models import (
    Acknowledgement,
    Action,
    Assignment,
    Export,
    FileFault,
    FileRound,
    Generation,
    Guideline,
    Image,
    Membership,
    Placement,
    Project,
    Prompt,
    PromptLabel,
    Ranking,
    Rating,
    Review,
    User,
)

# The stubs' class takes a type, Django's own does not.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

admin.site.register(User, UserAdmin)


class ReadOnly(ModelAdmin):
    """An admin without permission to add, change or delete."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ReadOnly):
    list_display = ["name", "slug", "opinions_per_prompt", "review_share", "consistency", "created_at"]


@admin.register(Membership)
class MembershipAdmin(ReadOnly):
    list_display = ["user", "project", "role", "joined_at"]
    list_filter = ["role", "project"]
    list_select_related = ["user", "project"]


@admin.register(Prompt)
class PromptAdmin(ReadOnly):
    list_display = ["key", "text", "project"]
    list_filter = ["project"]
    list_select_related = ["project"]
    search_fields = ["key", "text"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prompt]:
        """Those of studies too."""
        return Prompt.everything.order_by("pk")


@admin.register(Assignment)
class AssignmentAdmin(ReadOnly):
    list_display = ["pk", "project", "prompt", "annotator", "state", "leased_until", "submitted_at"]
    list_filter = ["state", "project"]
    list_select_related = ["project", "prompt", "annotator"]


@admin.register(Review)
class ReviewAdmin(ReadOnly):
    list_display = ["assignment", "inspector", "verdict", "reason", "created_at"]
    list_filter = ["verdict"]
    list_select_related = ["assignment", "inspector"]


@admin.register(Action)
class ActionAdmin(ReadOnly):
    """Actions of all projects, and those without a project: tokens and passwords."""

    list_display = ["at", "actor", "kind", "subject", "project"]
    list_filter = ["kind", "project"]
    list_select_related = ["actor", "project"]


@admin.register(Export)
class ExportAdmin(ReadOnly):
    list_display = ["pk", "project", "format", "state", "rankings", "bytes", "requested_by", "created_at"]
    list_filter = ["state", "format", "project"]
    list_select_related = ["project", "requested_by"]


@admin.register(FileRound)
class FileRoundAdmin(ReadOnly):
    """How far the scheduled look at stored files is."""

    list_display = ["kind", "looked_at", "begun_at", "finished_at"]


@admin.register(FileFault)
class FileFaultAdmin(ReadOnly):
    """Stored files that are gone or changed."""

    list_display = ["name", "fault", "first_seen_at", "last_seen_at"]
    list_filter = ["kind", "fault"]


admin.site.register(
    [Acknowledgement, Generation, Guideline, Image, Placement, PromptLabel, Ranking, Rating], ReadOnly
)
