"""Whether an annotator's latest answers break a rule of the project, and the reason shown to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import F, FloatField, Func, OuterRef, Q, QuerySet, Subquery, Sum, Window
from django.db.models.functions import RowNumber

from annotation.models import Assignment, Check, Pause, Project, Ranking, User
from annotation.statistics import notation
from annotation.statistics.places import PlaceTest, compare_places

Rule = Pause.Rule
PLACE_WINDOW = 200  # latest answers that the place rule examines; ours
PLACE_LEVEL = 0.001  # p-value of the place rule: by chance one test in a thousand; ours


@dataclass(frozen=True)
class Breach:
    rule: Pause.Rule
    reason: str


def first_breach(user: User, project: Project) -> Breach | None:
    """Return the first rule that the latest answers break; those before a lifted pause do not count."""
    return next(_breaches(user, project), None)


def _breaches(user: User, project: Project) -> Iterator[Breach]:
    if project.gold_floor > 0 and (breach := _gold_breach(user, project)):
        yield breach
    if project.seconds_per_image > 0 and (breach := _speed_breach(user, project)):
        yield breach
    if project.pauses_place_bias and (breach := _place_breach(user, project)):
        yield breach


def _gold_breach(user: User, project: Project) -> Breach | None:
    gold = answers_since_pause(project, user).filter(kind=Assignment.Kind.GOLD, check_result__isnull=False)
    latest = list(gold.order_by("-submitted_at", "-pk").values_list("pk", flat=True)[: project.pause_window])
    sums = Check.objects.filter(assignment__in=latest).aggregate(agreed=Sum("agreed"), pairs=Sum("pairs"))
    if len(latest) < project.pause_window or sums["agreed"] >= project.gold_floor * sums["pairs"]:
        return None
    return Breach(
        Rule.GOLD,
        f"Your last {len(latest)} answers to tasks with a known answer agreed with it on "
        f"{notation.percent(sums['agreed'] / sums['pairs'], 0)} of {sums['pairs']} pairs of images; "
        f"at least {notation.percent(project.gold_floor, 0)} is asked for.",
    )


def _speed_breach(user: User, project: Project) -> Breach | None:
    """Return a breach if more than half of the latest answers were too fast to look at the images."""
    answers = answers_since_pause(project, user).filter(claimed_at__isnull=False)
    latest = seconds_an_image(answers).order_by("-submitted_at", "-pk")[: project.pause_window]
    seconds = [vars(answer)["each"] for answer in latest]
    quick = sum(time < project.seconds_per_image for time in seconds)
    if len(seconds) < project.pause_window or 2 * quick <= len(seconds):
        return None
    return Breach(
        Rule.SPEED,
        f"{quick} of your last {len(seconds)} answers took less than "
        f"{project.seconds_per_image:g} seconds an image.",
    )


def _place_breach(user: User, project: Project) -> Breach | None:
    test = place_test(user, project)
    if test.p is None or test.p >= PLACE_LEVEL:
        return None
    return Breach(
        Rule.PLACE,
        f"In your last {test.answers} answers the best image stood at some places on the page far more often "
        "than at others, although images are shuffled.",
    )


def answers_since_pause(project: Project, user: User | None = None) -> QuerySet[Assignment]:
    """Return the answered work of one user or of all, since their last pause was lifted."""
    answers = Assignment.objects.work().filter(project=project, submitted_at__isnull=False)
    lifted = Pause.objects.filter(project=project, user=OuterRef("annotator"), lifted_at__isnull=False)
    counted = answers.filter(annotator=user) if user else answers
    return counted.alias(lifted=Subquery(lifted.order_by("-pk").values("lifted_at")[:1])).filter(
        Q(lifted=None) | Q(submitted_at__gt=F("lifted"))
    )


def seconds_an_image(answers: QuerySet[Assignment]) -> QuerySet[Assignment]:
    """Annotate the answers with `each`: seconds per image from claiming the task to submitting it."""
    seconds = Func(
        F("submitted_at") - F("claimed_at"),
        template="EXTRACT(EPOCH FROM %(expressions)s)::float",
        output_field=FloatField(),
    )
    images = Func("order", template="cardinality(%(expressions)s)::float", output_field=FloatField())
    return answers.annotate(each=seconds / images)


def place_test(user: User, project: Project) -> PlaceTest:
    """Return the place test of the user's latest answers: where on the page their best images stood."""
    return place_tests(project, user)[user.pk]


def place_tests(project: Project, user: User | None = None) -> dict[int, PlaceTest]:
    """Return annotator id -> place test, in one query; answers with a tie for best are ignored."""
    turn = Window(RowNumber(), partition_by="annotator", order_by=[F("submitted_at").desc(), F("pk").desc()])
    latest = answers_since_pause(project, user).annotate(turn=turn).filter(turn__lte=PLACE_WINDOW)
    by_slot = ["placements__slot", "placements__generation"]
    rankings = (
        Ranking.objects.filter(assignment__in=latest.order_by().values("pk"))
        .values_list("pk", "assignment__annotator", "assignment__order")
        .annotate(slots=ArrayAgg("placements__slot", order_by=by_slot))
        .annotate(images=ArrayAgg("placements__generation", order_by=by_slot))
    )
    best: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for _, annotator, order, slots, images in rankings:
        if slots[0] < slots[1] and len(order) == len(images):
            best[annotator].append((len(images), order.index(images[0])))
    tests = {pk: compare_places(places) for pk, places in best.items()}
    return defaultdict(lambda: compare_places([]), tests)
