"""Reference answers: researchers and admins give them, admins choose their purposes."""

from __future__ import annotations

import random

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, admin_required, may, researcher_required
from annotation.forms.references import ReferenceForm
from annotation.models import Project, Reference
from annotation.selectors.checks.references import references_of, trusted_answers
from annotation.selectors.projects.images import strips
from annotation.services.checks.references import (
    NothingToAnswer,
    choose_reference,
    claim_reference,
    retire_reference,
)

REFERENCES = "annotation/checks/references.html"
SHOWN = 50


@require_safe
@researcher_required
def references(request: MemberRequest, project: Project) -> HttpResponse:
    """List references in use and retired, and trusted answers that could become references."""
    return render(request, REFERENCES, _context(request, project))


@require_POST
@researcher_required
def answer_any(request: MemberRequest, project: Project) -> HttpResponse:
    """Claim a prompt for the user to answer in the workspace: the requested one, else any."""
    prompt_id = request.POST.get("prompt", "")
    prompt = get_object_or_404(project.prompts, pk=int(prompt_id[:18])) if prompt_id.isdecimal() else None
    try:
        claim_reference(
            researcher=request.user,
            project=project,
            now=timezone.now(),
            generator=random.Random(),
            prompt=prompt,
        )
    except NothingToAnswer:
        context = _context(request, project)
        return render(request, REFERENCES, {**context, "nothing_left": True}, status=409)
    return redirect("work", project.slug)


@require_POST
@admin_required
def choose(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Make this answer the reference of its prompt."""
    answer = get_object_or_404(trusted_answers(project), pk=pk)
    form = ReferenceForm(request.POST)
    if not form.is_valid():
        return render(request, REFERENCES, _context(request, project, form), status=422)
    reference = choose_reference(answer=answer, by=request.user, now=timezone.now(), **form.cleaned_data)
    messages.success(request, f"{reference.get_purpose_display()}.")
    return redirect("references", project.slug)


@require_POST
@admin_required
def retire(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Retire the reference."""
    reference = get_object_or_404(Reference, pk=pk, prompt__project=project)
    retire_reference(reference=reference, by=request.user, now=timezone.now())
    messages.success(request, "Nobody is asked this any more.")
    return redirect("references", project.slug)


def _context(
    request: MemberRequest, project: Project, form: ReferenceForm | None = None
) -> dict[str, object]:
    references, answers = references_of(project), trusted_answers(project)[:SHOWN]
    return {
        "project": project,
        "tab": "references",
        "is_admin": may(request.user, Do.ADMINISTER, project),
        "references": references,
        "answers": answers,
        "strips": strips([*(row.prompt_id for row in references), *(row.prompt_id for row in answers)]),
        "form": form or ReferenceForm(auto_id=False),
    }
