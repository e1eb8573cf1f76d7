"""Pausing annotators, by an inspector or by the project's rules, and lifting pauses."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from annotation.access import Do, roles_that
from annotation.models import Action, Assignment, Pause, Project, User
from annotation.selectors.checks.conduct import first_breach
from annotation.services.actions import checked_reason, record_action

logger = logging.getLogger(__name__)


class AlreadyPaused(Exception):
    """The annotator is already paused in this project."""


class NotPaused(Exception):
    """The pause was already lifted."""


def pause(*, annotator: User, project: Project, reason: str, by: User, now: datetime) -> Pause:
    """Give the annotator no more work in the project; a task they hold can still be submitted.

    Raises: AlreadyPaused; ReasonMissing.
    """
    return _pause(annotator, project, Pause.Rule.BY_HAND, checked_reason(reason), by, now)


@transaction.atomic
def lift(*, pause: Pause, by: User, now: datetime) -> Pause:
    """Give them work again; rules count only answers from now on. Raises NotPaused."""
    if Pause.objects.in_force().filter(pk=pause.pk).update(lifted_by=by, lifted_at=now) != 1:
        raise NotPaused
    pause.refresh_from_db()
    record_action(Action.Kind.LIFTED, project=pause.project_id, by=by, subject=pause.user)
    return pause


def pause_by_rules(*, now: datetime, active_within: timedelta) -> list[Pause]:
    """Pause the annotators whose latest answers break a rule of their project.

    Args: active_within: skip annotators who submitted nothing within this time.
    """
    paused = []
    recent_answers = Assignment.objects.work().filter(submitted_at__gte=now - active_within)
    for project in Project.objects.filter(pk__in=recent_answers.values("project")):
        paused_users = Pause.objects.in_force().filter(project=project).values("user")
        annotators = User.objects.filter(
            pk__in=recent_answers.filter(project=project).values("annotator"),
            memberships__project=project,
            memberships__role__in=roles_that(Do.ANNOTATE),
        )
        for annotator in annotators.exclude(pk__in=paused_users):
            breach = first_breach(annotator, project)
            if breach is None:
                continue
            try:
                paused.append(_pause(annotator, project, breach.rule, breach.reason, None, now))
            except AlreadyPaused:  # by an inspector, a moment ago
                continue
            logger.warning("%s paused in %s: %s", annotator, project.slug, breach.reason)
    return paused


def _pause(
    annotator: User, project: Project, rule: Pause.Rule, reason: str, by: User | None, now: datetime
) -> Pause:
    try:
        with transaction.atomic():
            record_action(
                Action.Kind.PAUSED, project=project, by=by, subject=annotator, rule=rule, reason=reason
            )
            return Pause.objects.create(
                project=project, user=annotator, rule=rule, reason=reason, paused_by=by, paused_at=now
            )
    except IntegrityError as error:
        raise AlreadyPaused from error
