"""Pages about a project's generators, for its admins."""

from __future__ import annotations

import random
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotation.access import MemberRequest, admin_required, admins_projects
from annotation.models import Project
from annotation.waking import say_if_late
from refl.forms import SamplingForm
from refl.models import Generator, SamplingRun, TuningRun
from refl.selectors.generators import NoGenerator
from refl.selectors.policies import policy_of
from refl.selectors.prompts import prompts_without_images
from refl.services.sampling import CannotSample, queue_sampling
from refl.services.tuning import CannotTune, queue_tuning
from refl.views.pictures import judged_pairs, sampled_pairs, strips
from refl.views.runs import TUNING
from refl.views.stages import planned_stages, read_config, settings_beside
from rewardmodel.models import RewardCheckpoint, Run
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint

INDEX, PROJECT, GENERATOR = (f"refl/{page}.html" for page in ("index", "project", "generator"))
RUNS = "rewardmodel/runs.html#runs"
LISTED = 50  # newest runs of a kind on a page


@admins_projects("project-generators")
def index(request: MemberRequest, projects: QuerySet[Project]) -> HttpResponse:
    newest = {
        generator.project_id: generator
        for generator in Generator.objects.kept()
        .seen()
        .filter(project__in=projects)
        .select_related("project", "parent", "run")
        .order_by("pk")
    }
    pictures = strips(list(newest.values()))
    rows = []
    for project in projects:
        generator = newest.get(project.pk)
        strip = pictures.get(generator.pk, []) if generator else []
        rows.append({"project": project, "newest": generator, "strip": strip})
    return render(request, INDEX, {"rows": rows})


@admin_required
def project_generators(request: MemberRequest, project: Project) -> HttpResponse:
    template = RUNS if request.htmx else PROJECT
    return render(request, template, _context(project))


@require_safe
@admin_required
def generator(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    """Show one generator: what became of it, and its images beside its parent's."""
    row = get_object_or_404(
        Generator.objects.select_related("project", "parent", "run__checkpoint"), project=project, pk=pk
    )
    children = row.children.select_related("project", "parent", "run").order_by("pk")
    judged = judged_pairs(row)
    pairs = judged or sampled_pairs(row)
    context = {
        "project": project,
        "generator": row,
        "children": children,
        "pairs": pairs,
        "is_judged": bool(judged),
        "strip": [] if pairs else strips([row, *children]).get(row.pk),
    }
    return render(request, GENERATOR, context)


@require_POST
@admin_required
def tune_now(request: MemberRequest, project: Project) -> HttpResponse:
    try:
        run = queue_tuning(project=project, by=request.user)
    except (CannotTune, NoGenerator, NothingPromoted) as error:
        return render(request, PROJECT, _context(project, refusal=str(error)), status=422)
    say_if_late(request, wake(run))
    return redirect(run.page, project.slug, run.pk)


@require_POST
@admin_required
def generate_images(request: MemberRequest, project: Project) -> HttpResponse:
    policy = policy_of(project)
    form = SamplingForm(request.POST, project=project, policy=policy)
    if not form.is_valid():
        return render(request, PROJECT, _context(project, form=form), status=422)
    generator, best_of = form.cleaned_data["generator"], form.cleaned_data["best_of"] or 1
    try:
        run = queue_sampling(
            generator=generator,
            per_prompt=form.cleaned_data["per_prompt"],
            prompts=form.cleaned_data["prompts"],
            checkpoint=promoted_checkpoint(project) if form.cleaned_data["least_sure"] else None,
            pool_factor=policy.pool_factor,
            best_of=best_of,
            best_by=promoted_checkpoint(project) if best_of > 1 else None,
            rng=random.Random(generator.pk),
            by=request.user,
        )
    except (CannotSample, NothingPromoted) as error:
        return render(request, PROJECT, _context(project, form=form, refusal=str(error)), status=422)
    say_if_late(request, wake(run))
    return redirect(run.page, project.slug, run.pk)


def _context(project: Project, *, form: SamplingForm | None = None, refusal: str = "") -> dict[str, Any]:
    policy = policy_of(project)
    runs = sorted(
        [*_newest(TuningRun, project), *_newest(SamplingRun, project)],
        key=lambda run: run.created_at,
        reverse=True,
    )
    generators = list(
        Generator.objects.filter(project=project).select_related("project", "parent", "run__checkpoint")
    )
    pictures = strips(generators)
    config = read_config(policy.config)
    stages = planned_stages(config) if config else []
    return {
        "project": project,
        "tab": "generators",
        "kind": TUNING,
        "policy": policy,
        "method": config.title if config and not stages else "",
        "stages": stages,
        "settings": settings_beside(stages, policy.config),
        "generators": [{"generator": each, "strip": pictures.get(each.pk, [])} for each in generators],
        "promoted": RewardCheckpoint.objects.filter(project=project, promoted=True).first(),
        "runs": runs,
        "is_active": any(not run.is_over for run in runs),
        "waiting": prompts_without_images(project).count(),
        "form": form or SamplingForm(project=project, policy=policy),
        "refusal": refusal,
    }


def _newest(model: type[Run], project: Project) -> QuerySet[Run]:
    runs: QuerySet[Run] = model._default_manager.filter(project=project)
    return runs.select_related(*model.inputs)[:LISTED]
