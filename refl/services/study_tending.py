"""What a study needs from time to time: rows say what there is to do, a message only wakes a worker."""

from __future__ import annotations

import logging
from datetime import datetime

from django.core.files.storage import default_storage
from django.db.models import Count, Q, QuerySet

from annotation.models import Assignment, Generation, Skip
from annotation.services.assignments.studies import close_study_prompts
from refl.models import Study, StudyTask
from refl.selectors.studies import study_progress
from refl.selectors.study_figures import stop_rule
from refl.services.studies import ask_annotators, close_study, record_figures, withdraw_tasks
from rewardmodel.models import Run

logger = logging.getLogger(__name__)
UNBEGUN = (Assignment.State.OPEN, Assignment.State.LEASED)
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
        record_figures(study, study_progress(study)[0])


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
    """Withdraw tasks whose images are gone, and close the study when it is decided, or everything is in."""
    withdraw_tasks(tasks_without_images(study), reason=GONE, now=now)
    rates, counts = study_progress(study)
    stop = stop_rule(study, rates, counts)
    if counts.is_all_in or (stop.kind != "go_on" and study.settings.stops):
        close_study(study, reason=stop.sentence, now=now)
    else:
        record_figures(study, rates)


def tasks_without_images(study: Study) -> QuerySet[StudyTask]:
    """Return the tasks that lack an image: its row or file is gone.

    Files are looked for where somebody skipped a task because an image did not show: asking the storage about
    every file all the time would cost more than it finds.
    """
    asked = study.tasks.filter(withdrawn="")
    images = Count("prompt__generations", filter=Q(prompt__generations__image__isnull=False), distinct=True)
    incomplete = {
        task.pk for task in asked.annotate(images=images).only("places") if task.images < len(task.places)
    }
    broken = Q(prompt__assignments__skip__reason=Skip.Reason.BROKEN)
    files = Generation.objects.filter(prompt__study_task__in=asked.filter(broken).distinct())
    for task, file in files.values_list("prompt__study_task", "image__file"):
        if task not in incomplete and not (file and default_storage.exists(file)):
            incomplete.add(task)
    return StudyTask.objects.filter(pk__in=incomplete)
