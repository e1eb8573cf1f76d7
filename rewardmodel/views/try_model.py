"""The page on which researchers and admins try the promoted reward model."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from annotation.access import Do, MemberRequest, may, researcher_required
from annotation.bodies import takes_files
from annotation.models import Project
from rewardmodel.forms import TryForm
from rewardmodel.scoring import client_socket, score_with_promoted
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint
from rewardmodel.serving.client import ClientGone, ImagesUnreadable, ModelBroken, NoScorer, Unavailable

TRY = "rewardmodel/try.html"


@takes_files(settings.SCORES_MAX_BYTES)
@require_http_methods(["GET", "HEAD", "POST"])
@researcher_required
def try_model(request: MemberRequest, project: Project) -> HttpResponse:
    """The form; or, posted, the images with their scores, the best first."""
    if request.method != "POST":
        return _answer(request, project, TryForm())
    form = TryForm(request.POST, request.FILES)
    if not form.is_valid():
        return _answer(request, project, form, status=422)
    files, text = form.files_sent, form.cleaned_data["prompt"]
    try:
        scored = score_with_promoted(
            project=project,
            prompts=[text] * len(files),
            files=[file.read() for file in files],
            client=client_socket(request.META),
        )
    except ImagesUnreadable as error:
        for index, reason in error.reasons.items():
            form.add_error("images", f"{files[index].name} {reason}")
        return _answer(request, project, form, status=422)
    except NothingPromoted:
        return _answer(request, project, form, status=409)
    except ModelBroken as error:
        refusal = f"The model does not work: {error}. Promote another one, or mend its files."
        return _answer(request, project, form, status=409, refusal=refusal)
    except NoScorer as error:
        refusal = f"No scores now: {error}. See that manage.py serve_scores runs, then try again."
        return _answer(request, project, form, status=409, refusal=refusal)
    except Unavailable as error:
        return _answer(request, project, form, status=409, refusal=f"No scores now: {error}. Try again.")
    except ClientGone:
        return HttpResponse(status=499)
    order = sorted(range(len(files)), key=lambda index: scored.scores[index].rank)
    rows = [{"index": index, "name": files[index].name, "score": scored.scores[index]} for index in order]
    result: dict[str, Any] = {
        "rows": rows,
        "truncated": scored.scores[0].truncated,
        "checkpoint": scored.checkpoint,
        "over": scored.over,
    }
    return _answer(request, project, form, **result)


def _answer(
    request: MemberRequest, project: Project, form: TryForm, *, status: int = 200, **result: Any
) -> HttpResponse:
    try:
        promoted = promoted_checkpoint(project)
    except NothingPromoted:
        promoted = None
    is_admin = may(request.user, Do.ADMINISTER, project)
    context = {
        "project": project,
        "tab": "try",
        "is_admin": is_admin,
        "form": form,
        "promoted": promoted,
        **result,
    }
    template = f"{TRY}#tried" if request.htmx else TRY
    return render(request, template, context, status=status)
