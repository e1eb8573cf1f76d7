"""A project's prompts with their images, for admins: generators and scores shown."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from annotation.access import MemberRequest, admin_required
from annotation.bodies import takes_files
from annotation.forms.imports import MaterialForm, RankingsForm
from annotation.image_files import image_response, thumbnail_response
from annotation.jobs import JobLost
from annotation.models import Assignment, Project
from annotation.selectors.projects.images import judged_images, strips
from annotation.services.imports import ImportRefused, cancel_import, request_import, retry_import
from annotation.services.imports.archives import MOST_BYTES
from annotation.tasks import wake_import
from annotation.waking import say_if_late

LIST = "annotation/projects/prompts.html"
PER_PAGE = 20
SHOWN_UPLOADS = 5


@require_safe
@admin_required
def prompts(request: MemberRequest, project: Project) -> HttpResponse:
    """List prompts, newest first, optionally filtered by a search text; while files are imported it polls."""
    if request.htmx:
        return render(request, f"{LIST}#uploads", {"project": project, **_uploads(project)})
    return _render_list(request, project)


@takes_files(MOST_BYTES)
@require_POST
@admin_required
def add_material(request: MemberRequest, project: Project) -> HttpResponse:
    """Store the uploaded file, which a worker imports, all or nothing."""
    form = MaterialForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_list(request, project, form)
    file = form.cleaned_data["material"]
    try:
        upload = request_import(project=project, file=file, by=request.user, now=now())
    except ImportRefused as error:
        form.add_error("material", str(error))
        return _render_list(request, project, form)
    say_if_late(request, wake_import(upload))
    return redirect("project-prompts", project.slug)


@takes_files(MOST_BYTES)
@require_POST
@admin_required
def add_rankings(request: MemberRequest, project: Project) -> HttpResponse:
    """Store the uploaded file of rankings, which a worker imports, all or nothing."""
    form = RankingsForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_list(request, project, rankings_form=form)
    file, options = form.cleaned_data["rankings"], form.options()
    try:
        upload = request_import(project=project, file=file, by=request.user, now=now(), rankings=options)
    except ImportRefused as error:
        form.add_error("rankings", str(error))
        return _render_list(request, project, rankings_form=form)
    say_if_late(request, wake_import(upload))
    return redirect("project-prompts", project.slug)


@require_POST
@admin_required
def cancel_upload(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Call off an import; nothing of its file is imported then."""
    try:
        cancel_import(get_object_or_404(project.uploads, pk=pk), by=request.user, now=now())
    except JobLost:
        messages.info(request, "It is over already.")
    return redirect("project-prompts", project.slug)


@require_POST
@admin_required
def retry_upload(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Import a file that failed once more."""
    upload = get_object_or_404(project.uploads, pk=pk)
    try:
        retry_import(upload, by=request.user)
    except JobLost as error:
        messages.error(request, f"{error}.")
        return redirect("project-prompts", project.slug)
    say_if_late(request, wake_import(upload))
    return redirect("project-prompts", project.slug)


def _uploads(project: Project) -> dict[str, object]:
    """Return the newest uploads, and whether one of them is being imported."""
    uploads = list(project.uploads.select_related("requested_by")[:SHOWN_UPLOADS])
    return {"uploads": uploads, "is_importing": any(not upload.is_over for upload in uploads)}


def _render_list(
    request: MemberRequest,
    project: Project,
    form: MaterialForm | None = None,
    rankings_form: RankingsForm | None = None,
) -> HttpResponse:
    """Render the list. Args: form, rankings_form: one that was refused."""
    words = request.GET.get("q", "").strip()[:200]
    prompts = project.prompts.filter(text__icontains=words) if words else project.prompts.all()
    is_finished = Q(assignments__in=Assignment.objects.finished())
    accepted = Count("assignments", filter=is_finished, distinct=True)
    rows = prompts.annotate(accepted=accepted).order_by("-pk")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "project": project,
        "tab": "prompts",
        "page": page,
        "strips": strips([prompt.pk for prompt in page]),
        "words": words,
        **_uploads(project),
        "form": form or MaterialForm(),
        "rankings_form": rankings_form or RankingsForm(),
    }
    return render(request, LIST, context, status=422 if form or rankings_form else 200)


@require_safe
@admin_required
def prompt(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Show one prompt: its images with generator and score, and its assignments."""
    shown = get_object_or_404(project.prompts, pk=pk)
    images = judged_images().filter(prompt=shown)
    opinions = shown.assignments.select_related("annotator", "skip")
    context = {"project": project, "tab": "prompts", "prompt": shown, "images": images, "opinions": opinions}
    return render(request, "annotation/projects/prompt.html", context)


@require_safe
def image(request: MemberRequest, token: UUID) -> HttpResponseBase:
    """Serve the file; 404 for users who may not see it, signed in or not."""
    if not request.user.is_authenticated:
        raise Http404
    return image_response(request, user=request.user, token=token)


@require_safe
def thumbnail(request: MemberRequest, token: UUID) -> HttpResponseBase:
    """Serve the small version of the image, as `image` serves the file."""
    if not request.user.is_authenticated:
        raise Http404
    return thumbnail_response(request, user=request.user, token=token)
