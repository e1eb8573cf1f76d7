"""Pages of a project's blind studies: researchers read them, admins open, close and publish them."""

from __future__ import annotations

import random
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, admin_required, may, researcher_required
from annotation.models import Project
from annotation.waking import say_if_late
from refl.forms import StudyForm
from refl.models import Study, StudyConfig
from refl.selectors.prompts import texts_for_studies
from refl.selectors.studies import project_studies, study_report
from refl.selectors.study_gallery import StudyImage
from refl.selectors.study_power import StudyPlan, plan_study
from refl.services.studies import close_study, open_study, publish_study, repeat_study, withdraw_link
from refl.services.study_plans import CannotStudy
from refl.views.public_studies import forget_public, public_address
from refl.views.study_gallery import gallery_of, rate_rows
from rewardmodel.runs.waking import wake

LIST, OPEN, STUDY = (f"refl/studies/{page}.html" for page in ("list", "open", "study"))


@require_safe
@researcher_required
def studies(request: MemberRequest, project: Project) -> HttpResponse:
    """List the project's studies, newest first."""
    context = {
        "project": project,
        "tab": "studies",
        "studies": project_studies(project),
        "is_admin": may(request.user, Do.ADMINISTER, project),
    }
    return render(request, LIST, context)


@admin_required
def open_one(request: MemberRequest, project: Project) -> HttpResponse:
    """Ask what a study compares and how, beside what that takes; then open it."""
    held_out = len(texts_for_studies(project, []))
    form = StudyForm(request.POST or None, project=project, held_out=held_out)
    refusal = ""
    if request.method == "POST" and form.is_valid():
        try:
            study = open_study(
                project=project,
                generators=form.generators,
                name=form.cleaned_data["name"],
                rng=random.SystemRandom(),
                by=request.user,
                **form.asked,
            )
        except CannotStudy as error:
            refusal = str(error)
        else:
            say_if_late(request, wake(study.run))
            return redirect("study", project.slug, study.pk)
    context = {
        "project": project,
        "tab": "studies",
        "form": form,
        "asked": [form[name] for name in form.fields if name not in ("base", "others")],
        "refusal": refusal,
        "plan": _plan(project, form),
    }
    return render(request, OPEN, context, status=422 if refusal or form.errors else 200)


@require_safe
@admin_required
def plan(request: MemberRequest, project: Project) -> HttpResponse:
    """Return what a study as it stands in the form would take."""
    form = StudyForm(request.GET, project=project, held_out=0)
    form.is_valid()
    return render(request, f"{OPEN}#plan", {"project": project, "plan": _plan(project, form)})


def _plan(project: Project, form: StudyForm) -> StudyPlan:
    """Return what the study takes; of a field that is missing or wrong the default counts."""
    values = {name: form[name].initial for name in StudyConfig().to_dict()}
    count = 1 + len(form["others"].initial or [None])
    if form.is_bound:
        valid = form.cleaned_data
        values |= {name: valid[name] for name in values if name in valid}
        count = 1 + len(valid.get("others") or [None])
    config = StudyConfig(**{**values, "confidence": float(values["confidence"])})
    return plan_study(project, config, generators=count, now=now())


@require_safe
@researcher_required
def study(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Show how a study stands; asked for by htmx, all but its gallery."""
    context = _context(request, project, _study_of(project, pk))
    return render(request, f"{STUDY}#result" if request.htmx else STUDY, context)


@require_POST
@admin_required
def close(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    close_study(_study_of(project, pk), reason="", now=now(), by=request.user)
    return redirect("study", project.slug, pk)


@require_POST
@admin_required
def repeat(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Open another study of the same generators, with prompts and seeds drawn anew."""
    row = _study_of(project, pk)
    try:
        again = repeat_study(row, rng=random.SystemRandom(), by=request.user)
    except CannotStudy as error:
        return render(request, STUDY, _context(request, project, row, refusal=str(error)), status=422)
    say_if_late(request, wake(again.run))
    return redirect("study", project.slug, again.pk)


@require_POST
@admin_required
def publish(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Make a public link, in place of an earlier one."""
    row = _study_of(project, pk)
    earlier = row.public_token
    publish_study(row, by=request.user)
    forget_public(earlier)
    return redirect("study", project.slug, pk)


@require_POST
@admin_required
def withdraw(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    row = _study_of(project, pk)
    earlier = row.public_token
    withdraw_link(row, by=request.user)
    forget_public(earlier)
    return redirect("study", project.slug, pk)


def _study_of(project: Project, pk: int) -> Study:
    return get_object_or_404(
        Study.objects.select_related("run", "project", "opened_by"), project=project, pk=pk
    )


def _context(request: MemberRequest, project: Project, row: Study, *, refusal: str = "") -> dict[str, Any]:
    report = study_report(row)
    is_admin = may(request.user, Do.ADMINISTER, project)
    return {
        "project": project,
        "tab": "studies",
        "study": row,
        "report": report,
        "rates": rate_rows(report),
        "gallery": None if request.htmx else gallery_of(report, request.GET, address=_image_address),
        "query": request.GET,
        "is_admin": is_admin,
        "public_link": request.build_absolute_uri(public_address(row))
        if is_admin and row.public_token
        else "",
        "refusal": refusal,
    }


def _image_address(image: StudyImage) -> str:
    return reverse("image", args=[image.token])
