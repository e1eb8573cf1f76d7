"""What beat looks for. A run is done by `rewardmodel.tasks.supervise_run`, as every other."""

from __future__ import annotations

import logging
import random

from celery import shared_task

from refl.models import TuningPolicy
from refl.selectors.generators import NoGenerator
from refl.services.sampling import CannotSample, queue_due_sampling
from refl.services.tuning import CannotTune, queue_due_tuning
from rewardmodel.runs.waking import wake

logger = logging.getLogger(__name__)


@shared_task
def look_for_promotions() -> None:
    """Queue a tuning wherever a reward model was promoted that no generator was tuned with yet."""
    for policy in TuningPolicy.objects.filter(enabled=True).select_related("project"):
        try:
            run = queue_due_tuning(policy)
        except (CannotTune, NoGenerator) as error:
            logger.info("%s: no tuning: %s", policy.project.slug, error)
            continue
        if run is not None:
            wake(run)


@shared_task
def look_for_generators() -> None:
    """Queue images wherever a tuned generator was kept that has made none yet."""
    for policy in TuningPolicy.objects.filter(enabled=True).select_related("project"):
        try:
            run = queue_due_sampling(policy, rng=random.Random(policy.project_id))
        except CannotSample as error:
            logger.info("%s: no images: %s", policy.project.slug, error)
            continue
        if run is not None:
            wake(run)
