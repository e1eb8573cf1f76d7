"""What a study needs from time to time: rows say what there is to do, a message only wakes a worker."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.core.files.storage import default_storage
from django.db.models import Count, Q, QuerySet

from annotation.models import Assignment, Generation, Skip
from annotation.services.assignments.studies import close_study_prompts
from refl.models import Study, StudyTask
from refl.selectors.studies import study_progress, study_pulse
from refl.selectors.study_figures import stop_rule
from refl.services.studies import ask_annotators, close_study, record_look, withdraw_tasks
from rewardmodel.models import Run

logger = logging.getLogger(__name__)
UNBEGUN = (Assignment.State.OPEN, Assignment.State.LEASED)
FILES = 50  # tasks whose files are looked at in one tending, in the order in which they are asked; ours
LATE = timedelta(minutes=1)  # by which a skip may be committed after its time
GONE = "An image of it was deleted."
CANCELLED = "The making of its images was cancelled."
NOTHING_LEFT = "None of its tasks has all its images any more: there is nothing to compare."
ALL_EQUAL = "Its generators make equal images: there is nothing to compare."


def tend_studies(*, now: datetime) -> None:
    """Do what is due in every study; called at any time, by any number of workers.

    A study that fails keeps no other from being tended. Raises: the first failure, once all had their turn.
    """
    failures: list[Exception] = []
    due = Study.objects.filter(~Q(state=Study.State.CLOSED) | Q(figures__isnull=True))
    for study in due.select_related("run").order_by("pk"):
        try:
            _tend(study, now=now)
        except Exception as error:
            logger.exception("study %s could not be tended", study.pk)
            failures.append(error)
    left = Assignment.objects.filter(
        kind=Assignment.Kind.STUDY, state__in=UNBEGUN, prompt__closed_at__isnull=False
    )
    prompts = list(left.order_by().values_list("prompt_id", flat=True).distinct())
    if prompts:  # of these the leases of tasks that were in hand may have run out since
        close_study_prompts(prompts=prompts, now=now)
    if failures:
        raise failures[0]


def _tend(study: Study, *, now: datetime) -> None:
    if study.state == Study.State.DRAWING:
        _tend_drawing(study, now=now)
    if study.state == Study.State.OPEN:
        _tend_open(study, now=now)
    if study.state == Study.State.CLOSED and study.figures is None:  # closed before figures were kept
        record_look(study, study_progress(study)[0], pulse=study_pulse(study), now=now)


def _tend_drawing(study: Study, *, now: datetime) -> None:
    """Ask annotators when the images are made. A failed run may be tried again, so the study waits for it."""
    if study.run.state == Run.State.CANCELLED:
        close_study(study, reason=CANCELLED, now=now)
    elif study.run.state == Run.State.FINISHED:
        withdraw_tasks(tasks_without_images(study), reason=GONE, now=now)
        if not study.tasks.filter(withdrawn="").exists():
            are_equal = not study.tasks.filter(withdrawn=GONE).exists()
            close_study(study, reason=ALL_EQUAL if are_equal else NOTHING_LEFT, now=now)
        ask_annotators(study, now=now)


def _tend_open(study: Study, *, now: datetime) -> None:
    """Withdraw tasks whose images are gone, and close the study when it is decided, or everything is in.

    Its answers are read only where something came in, was sent back, skipped or withdrawn since.
    """
    withdraw_tasks(_tasks_without_files(study), reason=GONE, now=now)
    pulse = study_pulse(study)
    if pulse == study.pulse:
        return
    if withdraw_tasks(tasks_without_images(study), reason=GONE, now=now):
        pulse = study_pulse(study)
    rates, counts = study_progress(study)
    stop = stop_rule(study, rates, counts)
    if counts.is_all_in or (stop.kind != "go_on" and study.settings.stops):
        close_study(study, reason=stop.sentence, now=now)
    else:
        record_look(study, rates, pulse=pulse, now=now)


def tasks_without_images(study: Study) -> QuerySet[StudyTask]:
    """Return the tasks that lack an image, or the file of one that somebody skipped since the last look.

    They had said that an image did not show.
    """
    asked = study.tasks.filter(withdrawn="")
    images = Count("prompt__generations", filter=Q(prompt__generations__image__isnull=False), distinct=True)
    incomplete = {
        task.pk for task in asked.annotate(images=images).only("places") if task.images < len(task.places)
    }
    skips = Skip.objects.filter(reason=Skip.Reason.BROKEN, assignment__prompt__study_task__in=asked)
    if study.looked_at is not None:
        skips = skips.filter(skipped_at__gt=study.looked_at - LATE)
    broken = asked.filter(prompt__in=skips.values("assignment__prompt")).exclude(pk__in=incomplete)
    return StudyTask.objects.filter(pk__in=incomplete | _without_files(broken))


def _tasks_without_files(study: Study) -> QuerySet[StudyTask]:
    """Return, of the next tasks in turn, those of which a file is missing; each is looked at once."""
    turn = study.tasks.filter(withdrawn="", pk__gt=study.files_until).order_by("pk")
    tasks = list(turn.values_list("pk", flat=True)[:FILES])
    if not tasks:
        return StudyTask.objects.none()
    lost = _without_files(StudyTask.objects.filter(pk__in=tasks))
    Study.objects.filter(pk=study.pk).update(files_until=tasks[-1])
    return StudyTask.objects.filter(pk__in=lost)


def _without_files(tasks: QuerySet[StudyTask]) -> set[int]:
    """Return the ids of the tasks that have an image without its file. Raises: as `_is_gone`."""
    files = Generation.objects.filter(prompt__study_task__in=tasks)
    rows = list(files.values_list("prompt__study_task", "image__file"))
    return {task for task, file in rows if not file or _is_gone(file)}


def _is_gone(file: str) -> bool:
    """Whether the storage has no such file. Raises: what it raises where it cannot be read.

    Its own `exists` is false of any fault of the disk, and no task that was withdrawn is asked again.
    """
    try:
        default_storage.size(file)
    except FileNotFoundError:
        return True
    return False
