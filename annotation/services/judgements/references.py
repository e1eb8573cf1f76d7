"""A known answer recorded whole: claimed, answered as in the workspace, and compared with from then on."""

from __future__ import annotations

import random
from datetime import datetime

from django.db import transaction

from annotation.models import Assignment, Prompt, Reference, User
from annotation.services.checks.references import NothingToAnswer, choose_reference, claim_reference
from annotation.services.judgements.answers import Judgement
from annotation.services.judgements.judgements import submit_judgement


@transaction.atomic
def record_reference(
    *,
    prompt: Prompt,
    judgement: Judgement,
    purpose: str,
    by: User,
    now: datetime,
    generator: random.Random,
    note: str = "",
) -> Reference:
    """Record the answer of `by` to the prompt, and compare others' with it.

    Raises: NothingToAnswer when they hold another prompt, answered this one already, or it cannot be ranked;
        NotTrusted; InvalidJudgement as its subclasses say.
    """
    task = claim_reference(researcher=by, project=prompt.project, now=now, generator=generator, prompt=prompt)
    if task.prompt_id != prompt.pk:
        raise NothingToAnswer
    submit_judgement(assignment=task, annotator=by, judgement=judgement, now=now, generator=generator)
    answer = Assignment.objects.get(pk=task.pk)
    return choose_reference(answer=answer, purpose=purpose, note=note, by=by, now=now)
