"""Whether a new reward model takes the place of the promoted one: a project's rule, and what it decided.

A model that is probably better, but not as probably as the project wants or on too few test pairs, waits: it
is decided about again, as it is, when both were measured on more pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import transaction

from annotation.models import Project, User
from annotation.models.actions import Action
from annotation.registry import register_action, register_event
from annotation.services.actions import record_action
from annotation.services.webhooks.events import announce
from annotation.statistics.estimates import Floats, interval, resampled_shares
from annotation.statistics.superiority import Decision, Lead, probability_better
from rewardmodel.models import DatasetVersion, Evaluation, PromotionRule, RewardCheckpoint
from rewardmodel.selectors import promotion_rule
from rewardmodel.services.checkpoints import describe_decision, lock_promotions, promote

CHECKPOINT_WAITING = register_event("checkpoint.waiting", "A reward model waits for more test pairs")
WAITS = register_action("checkpoint.waiting", "Reward model waits for more test pairs")
NOT_BETTER = register_action("checkpoint.not_better", "Reward model found no better")

SEED = 0  # the same figures give the same answer
Verdict = RewardCheckpoint.Verdict
VERDICTS = {
    Decision.BETTER: Verdict.BETTER,
    Decision.UNDECIDED: Verdict.WAITING,
    Decision.NOT_BETTER: Verdict.NOT_BETTER,
}


class NotComparable(Exception):
    """The checkpoint was not evaluated on the same pairs as the one promoted now."""


@dataclass(frozen=True)
class Comparison:
    """A checkpoint measured beside a rival on the test split of a dataset, by the dataset's hash.

    interval: 95 %, of the lead's difference.
    """

    rival: RewardCheckpoint
    lead: Lead
    interval: tuple[float, float]
    dataset: str

    def facts(self) -> dict[str, Any]:
        """Return what a decision keeps of it."""
        return {
            "over": self.rival.name,
            "difference": self.lead.difference,
            "interval": list(self.interval),
            "probability": self.lead.probability,
            "pairs": self.lead.pairs,
            "prompts": self.lead.prompts,
            "dataset": self.dataset,
        }


@transaction.atomic
def decide(checkpoint: RewardCheckpoint, *, now: datetime) -> Verdict:
    """Promote a run's checkpoint if the project's rule says so, by the figures recorded with it.

    The rule compares it with the promoted one, on the same pairs. The first model that learns from a
    project's rankings has a rule of its own: it only has to be more accurate than what is promoted, or where
    nothing is, than what its run started from. Nothing that people taught is at stake, and all that follows
    waits for it. A model that waited until now has been superseded, unless the new one is no better.

    Raises: NotComparable.
    """
    lock_promotions(checkpoint.project_id)
    return _apply(checkpoint, _recorded_comparison(checkpoint), now=now)


@transaction.atomic
def decide_again(checkpoint: RewardCheckpoint, comparison: Comparison, *, now: datetime) -> Verdict:
    """Decide about a checkpoint that waits, by another comparison with the promoted one on more pairs.

    On no more pairs than decided last, what was decided stays.
    """
    lock_promotions(checkpoint.project_id)
    checkpoint.refresh_from_db()
    if checkpoint.verdict != Verdict.WAITING or not comparison.rival.promoted:
        return Verdict(checkpoint.verdict)  # it was promoted by hand, or another was, meanwhile
    if comparison.lead.pairs <= checkpoint.decision["pairs"]:
        return Verdict(checkpoint.verdict)
    return _apply(checkpoint, comparison, now=now)


@transaction.atomic
def decide_waiting(project: Project, *, now: datetime) -> RewardCheckpoint | None:
    """Decide again about the project's waiting checkpoint, if it and the promoted one have new figures.

    Returns: the checkpoint, or None where none waits or nothing new was measured.
    """
    waiting = RewardCheckpoint.objects.waiting().filter(project=project).first()
    promoted = RewardCheckpoint.objects.promoted().filter(project=project).first()
    if waiting is None or promoted is None:
        return None
    comparison = _largest_comparison(waiting, promoted)
    if comparison is None or comparison.lead.pairs <= waiting.decision["pairs"]:
        return None
    decide_again(waiting, comparison, now=now)
    return waiting


@transaction.atomic
def change_rule(
    *, project: Project, now: datetime, by: User | None = None, **settings: float
) -> PromotionRule:
    """Change the project's rule; a checkpoint that waits is decided about again, by the figures it has.

    Args: settings: fields of a PromotionRule.
    Raises: ValidationError naming those that are out of range.
    """
    lock_promotions(project.pk)
    row = PromotionRule.of(project)
    before = {name: getattr(row, name) for name in settings}
    for name, value in settings.items():
        setattr(row, name, value)
    row.full_clean()
    row.save()
    changed = {name: [before[name], value] for name, value in settings.items() if before[name] != value}
    if not changed:
        return row
    record_action(
        Action.Kind.SETTINGS_CHANGED, project=project, by=by, subject="promotion of reward models", **changed
    )
    waiting = RewardCheckpoint.objects.waiting().filter(project=project).first()
    rival = RewardCheckpoint.objects.promoted().filter(project=project).first()
    if waiting is not None and rival is not None:
        _apply(waiting, _decided_comparison(waiting, rival), now=now)
    return row


def compare_counts(
    pairs: list[int], right: list[int], rivals_right: list[int]
) -> tuple[Lead, tuple[float, float]]:
    """Return a model's lead over a rival and its 95 % interval, of each prompt's pairs and those right."""
    every = np.array(pairs, np.float64)
    gains: Floats = (np.array(right, np.float64) - np.array(rivals_right, np.float64))[every > 0]
    every = every[every > 0]
    ends = interval(resampled_shares(gains, every, seed=SEED))
    lead = Lead(
        difference=float(gains.sum() / every.sum()),
        probability=probability_better(gains, seed=SEED),
        pairs=int(every.sum()),
        prompts=len(every),
    )
    return lead, (ends.low, ends.high)


def _apply(checkpoint: RewardCheckpoint, comparison: Comparison, *, now: datetime) -> Verdict:
    """Decide by the comparison, and do what follows."""
    rule = promotion_rule(checkpoint.project)
    facts = comparison.facts() | {"wanted": rule.probability, "least": rule.pairs}
    if _is_first(checkpoint):
        verdict = VERDICTS[_first_decision(comparison.lead)]
        facts |= {"rule": "first", "waits_for": 0, "waits_for_rankings": 0}
    else:
        decision, waits_for = rule.decide(comparison.lead)
        verdict = VERDICTS[decision]
        facts |= {"rule": "sure", "waits_for": waits_for}
        facts["waits_for_rankings"] = _rankings_for(waits_for, checkpoint.project, comparison)
    if verdict == Verdict.BETTER:
        promote(checkpoint, now=now, decision=facts)
        return verdict
    if verdict == Verdict.WAITING:
        others = RewardCheckpoint.objects.waiting().filter(project=checkpoint.project_id)
        others.exclude(pk=checkpoint.pk).update(verdict=Verdict.SUPERSEDED)
    checkpoint.verdict, checkpoint.decision = verdict, facts
    checkpoint.save(update_fields=["verdict", "decision"])
    _tell(checkpoint)
    return verdict


def _rankings_for(pairs: int, project: Project, comparison: Comparison) -> int:
    """Return at how many finished rankings there are about so many test pairs, as those so far came in."""
    if not pairs:
        return 0
    dataset = DatasetVersion.objects.filter(project=project, hash=comparison.dataset).first()
    return math.ceil(dataset.answers * pairs / comparison.lead.pairs) if dataset else 0


def _tell(checkpoint: RewardCheckpoint) -> None:
    """Log a decision against promoting now; webhooks hear of one that waits."""
    waits = checkpoint.verdict == Verdict.WAITING
    details: dict[str, Any] = describe_decision(checkpoint.decision)
    record_action(
        WAITS if waits else NOT_BETTER,
        project=checkpoint.project_id,
        by=None,
        subject=checkpoint.name,
        **details,
    )
    if waits:
        data = {
            "checkpoint": checkpoint.name,
            "location": checkpoint.location,
            "decision": checkpoint.decision,
        }
        announce(CHECKPOINT_WAITING, project=checkpoint.project, data=data)


def _is_first(checkpoint: RewardCheckpoint) -> bool:
    """Whether no model that a run made was ever promoted in the project."""
    learned = RewardCheckpoint.objects.filter(project=checkpoint.project_id, run__isnull=False)
    return not learned.filter(promoted_at__isnull=False).exists()


def _first_decision(lead: Lead) -> Decision:
    return Decision.BETTER if lead.difference > 0 else Decision.NOT_BETTER


def _recorded_comparison(checkpoint: RewardCheckpoint) -> Comparison:
    """What the checkpoint was measured at beside the promoted one, or what its run started from."""
    rival = RewardCheckpoint.objects.promoted().filter(project=checkpoint.project_id).first()
    if rival is None:
        if checkpoint.run is None:
            raise NotComparable(f"{checkpoint} was made by no run: promote it by hand")
        rival = checkpoint.run.initial
    metrics = checkpoint.metrics
    beside = {other["id"]: other for other in metrics.get("beside", [])}
    if rival.pk not in beside:
        raise NotComparable(f"{checkpoint} was not evaluated beside {rival}")
    return comparison_of(
        beside[rival.pk] | {"pairs": metrics["pairs"], "prompts": metrics["prompts"]},
        rival=rival,
        dataset=metrics["dataset"],
    )


def comparison_of(figures: Mapping[str, Any], *, rival: RewardCheckpoint, dataset: str) -> Comparison:
    """Args: figures: of a rival, as a checkpoint's metrics have them, with the pairs and prompts compared."""
    lead = Lead(figures["difference"], figures["probability"], figures["pairs"], figures["prompts"])
    low, high = figures["difference_interval"]
    return Comparison(rival, lead, (low, high), dataset)


def _decided_comparison(checkpoint: RewardCheckpoint, rival: RewardCheckpoint) -> Comparison:
    """The comparison by which the checkpoint waits."""
    made = checkpoint.decision
    return comparison_of(
        {**made, "difference_interval": made["interval"]}, rival=rival, dataset=made["dataset"]
    )


def _largest_comparison(one: RewardCheckpoint, rival: RewardCheckpoint) -> Comparison | None:
    """The two on the largest test split that both were measured on and neither can have learned from."""
    theirs = {each.dataset_id: each for each in _measured_unseen(rival, beside=one)}
    best: Comparison | None = None
    for each in _measured_unseen(one, beside=rival):
        other = theirs.get(each.dataset_id)
        if other is None or each.figures["counts"]["pairs"] != other.figures["counts"]["pairs"]:
            continue
        lead, ends = compare_counts(
            each.figures["counts"]["pairs"], each.figures["counts"]["right"], other.figures["counts"]["right"]
        )
        if best is None or lead.pairs > best.lead.pairs:
            best = Comparison(rival, lead, ends, each.dataset.hash)
    return best


def _measured_unseen(checkpoint: RewardCheckpoint, *, beside: RewardCheckpoint) -> list[Evaluation]:
    """The checkpoint's figures on test splits of datasets that are split as those both learned from are."""
    figures = Evaluation.objects.filter(checkpoint=checkpoint, split="test").select_related("dataset")
    return [
        each for each in figures if "counts" in each.figures and is_unseen(each.dataset, (checkpoint, beside))
    ]


def is_unseen(dataset: DatasetVersion, checkpoints: Iterable[RewardCheckpoint]) -> bool:
    """Whether none of them can have learned from the dataset's test prompts: theirs are split as its are."""
    learned_from = [each.run.dataset for each in checkpoints if each.run is not None]
    return all((each.shares, each.split_by) == (dataset.shares, dataset.split_by) for each in learned_from)
