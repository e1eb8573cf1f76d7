"""Whether somebody's latest answers break a rule of the project, and in which words they are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import F, FloatField, Func, QuerySet, Sum

from annotation.models import Assignment, Check, Pause, Placement, Project, User
from annotation.statistics.places import PlaceTest, compare_places

Rule = Pause.Rule
PLACE_WINDOW = 200  # latest answers whose best image's place is looked at; ours
PLACE_LEVEL = 0.001  # such places come by chance once in a thousand tests; ours


@dataclass(frozen=True)
class Breach:
    rule: Pause.Rule
    reason: str


def first_breach(user: User, project: Project) -> Breach | None:
    """The first rule that the latest answers break; those before the last pause was lifted do not count."""
    return next(_breaches(user, project), None)


def _breaches(user: User, project: Project) -> Iterator[Breach]:
    if project.gold_floor > 0 and (breach := _gold(user, project)):
        yield breach
    if project.seconds_per_image > 0 and (breach := _speed(user, project)):
        yield breach
    if project.pauses_place_bias and (breach := _place(user, project)):
        yield breach


def _gold(user: User, project: Project) -> Breach | None:
    gold = answers_since_pause(user, project).filter(kind=Assignment.Kind.GOLD, check_result__isnull=False)
    latest = list(gold.order_by("-submitted_at", "-pk").values_list("pk", flat=True)[: project.pause_window])
    sums = Check.objects.filter(assignment__in=latest).aggregate(agreed=Sum("agreed"), pairs=Sum("pairs"))
    if len(latest) < project.pause_window or sums["agreed"] >= project.gold_floor * sums["pairs"]:
        return None
    return Breach(
        Rule.GOLD,
        f"Your last {len(latest)} answers to tasks with a known answer agreed with it on "
        f"{sums['agreed'] / sums['pairs']:.0%} of {sums['pairs']} pairs of images; "
        f"at least {project.gold_floor:.0%} is asked for.",
    )


def _speed(user: User, project: Project) -> Breach | None:
    """More than half of the latest answers were quicker than anybody can look at so many images."""
    answers = answers_since_pause(user, project).filter(claimed_at__isnull=False)
    latest = seconds_an_image(answers).order_by("-submitted_at", "-pk")[: project.pause_window]
    seconds = [vars(answer)["each"] for answer in latest]
    quick = sum(each < project.seconds_per_image for each in seconds)
    if len(seconds) < project.pause_window or 2 * quick <= len(seconds):
        return None
    return Breach(
        Rule.SPEED,
        f"{quick} of your last {len(seconds)} answers took less than "
        f"{project.seconds_per_image:g} seconds an image.",
    )


def _place(user: User, project: Project) -> Breach | None:
    test = place_test(user, project)
    if test.p is None or test.p >= PLACE_LEVEL:
        return None
    return Breach(
        Rule.PLACE,
        f"In your last {test.answers} answers the best image stood at some places on the page far more often "
        "than at others, although images are shuffled.",
    )


def answers_since_pause(user: User, project: Project) -> QuerySet[Assignment]:
    """The user's answered work since their last pause was lifted."""
    answers = Assignment.objects.work().filter(project=project, annotator=user, submitted_at__isnull=False)
    lifted = Pause.objects.filter(project=project, user=user, lifted_at__isnull=False).first()
    return answers.filter(submitted_at__gt=lifted.lifted_at) if lifted else answers


def seconds_an_image(answers: QuerySet[Assignment]) -> QuerySet[Assignment]:
    """The answers with `each`: seconds from getting the task to submitting it, per image."""
    seconds = Func(
        F("submitted_at") - F("claimed_at"),
        template="EXTRACT(EPOCH FROM %(expressions)s)::float",
        output_field=FloatField(),
    )
    images = Func("order", template="cardinality(%(expressions)s)::float", output_field=FloatField())
    return answers.annotate(each=seconds / images)


def place_test(user: User, project: Project) -> PlaceTest:
    """Where on the page the best image of the latest answers stood; those with two best ones say nothing."""
    latest = answers_since_pause(user, project).order_by("-submitted_at", "-pk")[:PLACE_WINDOW]
    orders = dict(latest.values_list("pk", "order"))
    slots: dict[int, list[tuple[int, int]]] = {}
    placed = Placement.objects.filter(ranking__assignment__in=list(orders))
    for pk, generation, slot in placed.values_list("ranking__assignment", "generation_id", "slot"):
        slots.setdefault(pk, []).append((slot, generation))
    best = []
    for pk, images in slots.items():
        first, second = sorted(images)[:2]
        if first[0] < second[0] and len(orders[pk]) == len(images):
            best.append((len(images), orders[pk].index(first[1])))
    return compare_places(best)
