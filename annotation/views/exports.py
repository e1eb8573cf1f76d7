"""Exports: requesting, watching, downloading and deleting them."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.downloads import file_response
from annotation.forms.exports import ExportForm
from annotation.jobs import JobLost
from annotation.models import Export, Project
from annotation.services.exports import (
    FORMATS,
    cancel_export,
    delete_export,
    left_out,
    request_export,
    retry_export,
)
from annotation.tasks import wake
from annotation.waking import say_if_late

EXPORTS = "annotation/exports/list.html"


@require_http_methods(["GET", "HEAD", "POST"])
@admin_required
def exports(request: MemberRequest, project: Project) -> HttpResponse:
    """Request an export, and list exports; the page polls while one is in progress."""
    rows = list(project.exports.select_related("requested_by"))
    is_active = Export.objects.active().filter(project=project).exists()
    context = {
        "project": project,
        "tab": "exports",
        "exports": [(row, FORMATS.get(row.format)) for row in rows],
        "is_active": is_active,
        "left_out": left_out(),
    }
    if request.method != "POST":
        template = f"{EXPORTS}#exports" if request.htmx else EXPORTS
        return render(request, template, {**context, "form": ExportForm()})
    form = ExportForm(request.POST)
    if not form.is_valid():
        return render(request, EXPORTS, {**context, "form": form}, status=422)
    say_if_late(request, wake(request_export(project=project, by=request.user, now=now(), **form.request())))
    return redirect("project-exports", project.slug)


@require_safe
@admin_required
def download(request: MemberRequest, project: Project, pk: int) -> HttpResponseBase:
    """Download the archive, or a range of its bytes."""
    export = get_object_or_404(project.exports, pk=pk, state=Export.State.FINISHED)
    try:
        return file_response(request, file=export.file, sha256=export.sha256)
    except FileNotFoundError:
        raise Http404 from None


@require_POST
@admin_required
def cancel(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    try:
        cancel_export(get_object_or_404(project.exports, pk=pk), by=request.user, now=now())
    except JobLost:
        messages.warning(request, "The export was over already.")
    return redirect("project-exports", project.slug)


@require_POST
@admin_required
def retry(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    export = get_object_or_404(project.exports, pk=pk)
    try:
        retry_export(export, by=request.user)
        say_if_late(request, wake(export))
    except JobLost:
        messages.warning(request, "Only an export that failed can be tried again.")
    return redirect("project-exports", project.slug)


@require_POST
@admin_required
def delete(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    try:
        delete_export(get_object_or_404(project.exports, pk=pk), by=request.user)
    except JobLost:
        messages.warning(request, "The export is under way: cancel it first.")
    return redirect("project-exports", project.slug)
