"""The loop of a project on one page: how each step stands, what ran and why, and what it brought."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import salted_hmac
from django.utils.text import Truncator
from django.utils.timezone import now
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, admin_required, may, researcher_required
from annotation.models import Project
from annotation.statistics import notation
from annotation.statistics.estimates import NotEnough
from annotation.waking import say_if_late
from refl.loop.facts import Facts, read_facts
from refl.loop.history import read_history, why_of
from refl.loop.queue import cancel_step, in_words, read_loop, repeat_step, start_step
from refl.loop.step import Started, State, Status, Step, StepBusy, StepRefused
from refl.loop.steps import STEPS
from refl.models import Generator
from refl.selectors.outcomes import (
    WinRates,
    newest_images,
    reward_model_versions,
    rewards_of_generators,
    win_rates_of_generators,
)
from refl.views.pictures import BeforeAfter, pairs_of
from rewardmodel.models import TrainingPolicy
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import accuracy_forecast

LOOP = "refl/loop.html"
IMAGES, STRIP = 12, 4  # newest images on the page, and of these in the step that makes them
CANCELLED_BY_STEP = (
    State.RUNNING,
    State.FAILED,
)  # where no run is under way, of steps that cancel themselves
END = 18  # characters of a generator's name at an end of an axis
PAIRS = 6  # of images before and after
LOOKED_AT = 5  # newest tuned generators, of which one may have such pairs
TONES = {State.DONE: "good", State.FAILED: "bad", State.RUNNING: "busy", State.READY: "busy"}
WORDS = {State.READY: "starts soon", State.OFF: "by hand"}


@dataclass(frozen=True)
class Card:
    """A step as the page shows it.

    Attributes:
        why: of its newest run.
        start: the label of the button that starts it; "" where there is none.
        again: whether that button repeats it.
        flows: whether what the step before passes on is on its way into this one.
    """

    number: int
    step: Step
    status: Status
    badge: str
    tone: str
    by_itself: str
    why: str
    start: str
    again: bool
    cancels: bool
    flows: bool


@require_safe
@researcher_required
def loop(request: MemberRequest, project: Project) -> HttpResponse:
    if request.htmx:
        return render(request, f"{LOOP}#live", {**_steps(request, project), "is_swapped": True})
    return render(request, LOOP, {**_steps(request, project), **_outcomes(request, project)})


@require_safe
@researcher_required
def outcomes(request: MemberRequest, project: Project) -> HttpResponse:
    """The pictures and curves, for the page to put in place; nothing where they are those that it has."""
    context = _outcomes(request, project)
    if request.GET.get("seen") == context["version"]:
        return HttpResponse(status=204)
    return render(request, f"{LOOP}#outcomes", context)


@require_POST
@admin_required
def start(request: MemberRequest, project: Project, step: str) -> HttpResponse:
    return _act(request, project, step, lambda: start_step(project, step, by=request.user))


@require_POST
@admin_required
def repeat(request: MemberRequest, project: Project, step: str) -> HttpResponse:
    return _act(request, project, step, lambda: repeat_step(project, step, by=request.user))


@require_POST
@admin_required
def cancel(request: MemberRequest, project: Project, step: str) -> HttpResponse:
    return _act(
        request, project, step, lambda: Started(cancel_step(project, step, now=now(), by=request.user))
    )


def _act(request: MemberRequest, project: Project, step: str, act: Callable[[], Started]) -> HttpResponse:
    if step not in STEPS:
        raise Http404
    try:
        started = act()
    except StepRefused as refusal:
        context = {**_steps(request, project), **_outcomes(request, project)}
        status = 409 if isinstance(refusal, StepBusy) else 422
        return render(request, LOOP, {**context, "refusal": str(refusal)}, status=status)
    if started.run is not None and not started.run.is_over:
        say_if_late(request, wake(started.run))
    messages.success(request, started.sentence)
    return redirect(f"{reverse('loop', args=[project.slug])}#{step}")


def _steps(request: MemberRequest, project: Project) -> dict[str, Any]:
    facts = read_facts([project])[project.pk]
    statuses = read_loop(facts)
    cards = [
        _card(number, STEPS[key], status, facts) for number, (key, status) in enumerate(statuses.items(), 1)
    ]
    return {
        "project": project,
        "tab": "loop",
        "cards": cards,
        "headline": in_words(statuses),
        "is_active": any(status.is_under_way for status in statuses.values()),
        "is_admin": may(request.user, Do.ADMINISTER, project),
        "history": read_history(project),
        "newest": newest_images([project.pk], count=STRIP).get(project.pk, []),
    }


def _card(number: int, step: Step, status: Status, facts: Facts) -> Card:
    ended = status.run is not None and status.run.is_over
    label = "Start again" if ended or status.state == State.DONE else "Start"
    if status.state == State.FAILED:
        label = "Try again"
    starts = status.state != State.RUNNING and not (step.comes_with and status.state != State.FAILED)
    return Card(
        number=number,
        step=step,
        status=status,
        badge=WORDS.get(status.state, str(status.state)),
        tone=TONES.get(status.state, "quiet"),
        by_itself=_by_itself(step, facts),
        why=why_of(status.run) if status.run else "",
        start=label if starts else "",
        again=label != "Start",
        cancels=status.is_under_way or (step.cancel is not None and status.state in CANCELLED_BY_STEP),
        flows=status.state in (State.RUNNING, State.READY),
    )


def _by_itself(step: Step, facts: Facts) -> str:
    """What starts the step, for people."""
    if step.comes_with:
        return f"comes with {step.comes_with}"
    if step.policy is None:
        return ""
    policy = facts.trains_by_itself if step.policy is TrainingPolicy else facts.tunes_by_itself
    return "starts by itself" if policy else "starts by hand only"


def _forecast(project: Project) -> str:
    """What as many rankings again would bring; "" where nobody can tell."""
    forecast = accuracy_forecast(project)
    if isinstance(forecast, NotEnough):
        return ""
    more, ahead = list(forecast.more.items())[1]
    interval = notation.percent_interval(ahead.low, ahead.high)
    return f"{more:,} more rankings: {notation.percent(ahead.value)} ({interval})"


def _outcomes(request: MemberRequest, project: Project) -> dict[str, Any]:
    versions, rewards = reward_model_versions(project), rewards_of_generators(project)
    win_rates = win_rates_of_generators(project)
    is_admin = may(request.user, Do.ADMINISTER, project)
    tuned, pairs = _newest_pairs(project) if is_admin else (None, [])
    images = newest_images([project.pk], count=IMAGES).get(project.pk, [])
    newest = (
        len(versions.accuracy),
        len(rewards),
        win_rates,
        tuned and (tuned.pk, tuned.kept, pairs[0].key),
        images and images[0].generation,
    )
    return {
        "project": project,
        "is_admin": is_admin,
        "forecast": _forecast(project) if is_admin else "",
        "version": salted_hmac("refl.loop", str(newest)).hexdigest()[:12],
        "tuned": tuned,
        "pairs": pairs,
        "images": images,
        "accuracy": {
            "id": "accuracy-over-versions",
            "label": "Accuracy of the reward models on test pairs, beside people's own",
            "x": "version",
            "format": "%",
            "series": [
                {"name": "reward model", "points": versions.accuracy},
                {"name": "people among themselves", "points": versions.people},
            ],
        },
        "win_rates": _win_rate_chart(win_rates),
        "rewards": {
            "id": "rewards-over-generators",
            "label": "Mean reward of the kept generators, by rewards they were not tuned on",
            "x": "generator",
            "format": "0.000",
            "series": [{"name": name, "points": curve} for name, curve in rewards.items()],
        },
    }


def _win_rate_chart(rates: WinRates) -> dict[str, Any]:
    oldest, newest = rates.names[:1], rates.names[1:][-1:]
    return {
        "id": "win-rates-over-generators",
        "label": "How often each generator is preferred to the one it was compared with",
        "x": "generator",
        "format": "%",
        "level": 0.5,
        "names": [f"{name} against {base}" for name, base in zip(rates.names, rates.bases, strict=True)],
        "ends": [Truncator(title).chars(END) for title in [*oldest, *(newest or [""])]],
        "series": [
            {
                "name": judge,
                "apart": True,
                "points": [(each.number, each.value) for each in rates.preferred if each.judge == judge],
                "band": [
                    (each.number, each.low, each.high) for each in rates.preferred if each.judge == judge
                ],
            }
            for judge in rates.judges
        ],
    }


def _newest_pairs(project: Project) -> tuple[Generator | None, list[BeforeAfter]]:
    """Return the newest tuned generator of which there are images beside its parent's, and some of these."""
    rows = Generator.objects.filter(project=project, run__isnull=False)
    for tuned in rows.select_related("project", "parent", "run").order_by("-pk")[:LOOKED_AT]:
        pairs = pairs_of(tuned)
        if pairs:
            return tuned, pairs[:PAIRS]
    return None, []
