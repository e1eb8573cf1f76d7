"""Which reward model a project uses: a new one takes the promoted one's place only when surely better."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from annotation.models import Action, Event
from annotation.services.webhooks.webhooks import create_webhook
from rewardmodel.models import (
    DatasetVersion,
    Evaluation,
    PromotionRule,
    RewardCheckpoint,
)
from rewardmodel.selectors import NothingPromoted, promoted_checkpoint, promotion_rule
from rewardmodel.services.checkpoints import CHECKPOINT_PROMOTED, promote
from rewardmodel.services.promotions import (
    CHECKPOINT_WAITING,
    NotComparable,
    change_rule,
    compare_counts,
    decide,
    decide_waiting,
)
from tests.cast import NOW

Verdict = RewardCheckpoint.Verdict
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def champion(a_model):
    """A model that learned from the project's rankings, and is promoted."""
    first = a_model(0.1, 0.99)
    decide(first, now=NOW)
    return first


def test_the_first_model_that_learns_here_only_has_to_be_more_accurate(project, encoder, a_model):
    assert decide(a_model(0.0, 0.5, pairs=12, prompts=3), now=NOW) == Verdict.NOT_BETTER
    with pytest.raises(NothingPromoted):
        promoted_checkpoint(project)
    better = a_model(0.01, 0.6, pairs=12, prompts=3)
    assert decide(better, now=NOW) == Verdict.BETTER
    assert (promoted_checkpoint(project), better.promoted_at) == (better, NOW)
    assert better.decision["rule"] == "first"
    assert better.decision["over"] == encoder.name


def test_that_rule_holds_also_where_what_it_started_from_was_promoted_by_hand(project, encoder, a_model):
    promote(encoder, now=NOW)
    first = a_model(0.01, 0.6, pairs=12, prompts=3)
    assert decide(first, now=NOW) == Verdict.BETTER
    assert decide(a_model(0.01, 0.6, pairs=12, prompts=3), now=NOW) == Verdict.WAITING
    assert promoted_checkpoint(project) == first


def test_a_later_model_takes_the_promoted_ones_place_only_when_it_is_surely_better(
    project, champion, a_model
):
    for lead, probability in ((-0.006, 0.31), (0.0, 0.5), (-0.2, 0.001)):
        assert decide(a_model(lead, probability), now=NOW) == Verdict.NOT_BETTER
    assert promoted_checkpoint(project) == champion
    better = a_model(0.055, 0.997, pairs=807, prompts=147)
    assert decide(better, now=LATER) == Verdict.BETTER
    assert promoted_checkpoint(project) == better
    made = better.decision
    assert (made["rule"], made["over"], made["probability"], made["wanted"], made["least"]) == (
        *("sure", champion.name, 0.997, 0.95, 100),
    )


def test_a_model_that_is_probably_better_waits_and_says_for_how_many_pairs(project, champion, a_model, ada):
    create_webhook(project=project, url="https://hooks.example.org/", kinds=[CHECKPOINT_WAITING], by=ada)
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    assert decide(model, now=LATER) == Verdict.WAITING
    assert promoted_checkpoint(project) == champion
    assert (model.decision["waits_for"], model.decision["waits_for_rankings"]) == (182, 338)  # of 300 now
    logged = Action.objects.get(kind="checkpoint.waiting")
    assert (logged.subject, logged.details["waits for"]) == (model.name, "182 pairs")
    assert logged.details[f"better than {champion.name}"] == "94 % likely, on 162 pairs"
    assert Event.objects.get().data["decision"]["waits_for"] == 182


def test_a_clear_lead_on_too_few_pairs_waits_for_the_least_number(champion, a_model):
    model = a_model(0.2, 0.999, pairs=60, prompts=30)
    assert decide(model, now=NOW) == Verdict.WAITING
    assert model.decision["waits_for"] == 100


def test_one_model_waits_at_a_time_and_a_newer_one_or_a_promotion_supersedes_it(project, champion, a_model):
    first, second = (a_model(0.05, 0.9, pairs=200, prompts=40) for _ in range(2))
    decide(first, now=NOW)
    decide(second, now=NOW)
    first.refresh_from_db()
    assert (first.verdict, second.verdict) == (Verdict.SUPERSEDED, Verdict.WAITING)
    decide(a_model(-0.1, 0.01), now=NOW)  # worse: what waits goes on waiting
    assert RewardCheckpoint.objects.waiting().get() == second
    promote(champion, now=LATER)
    second.refresh_from_db()
    assert second.verdict == Verdict.SUPERSEDED
    with pytest.raises(IntegrityError), transaction.atomic():
        RewardCheckpoint.objects.filter(pk__in=(first.pk, second.pk)).update(verdict=Verdict.WAITING)


def test_a_promotion_by_hand_says_so_and_with_what_figures(project, champion, a_model, ada):
    url = "https://hooks.example.org/"
    create_webhook(project=project, url=url, kinds=[CHECKPOINT_PROMOTED], by=ada)
    worse = a_model(-0.1, 0.02)
    decide(worse, now=NOW)
    promote(worse, now=LATER, by=ada)
    assert worse.verdict == Verdict.BY_HAND
    assert (worse.decision["rule"], worse.decision["probability"]) == ("by hand", 0.02)
    logged = Action.objects.filter(kind="checkpoint.promoted").latest("pk")
    assert (logged.actor, logged.details["rule"]) == (ada, "by hand")
    data = Event.objects.get().data
    assert (data["checkpoint"], data["decision"]["rule"]) == (worse.name, "by hand")


def test_a_model_that_was_compared_with_another_is_not_promoted(project, encoder, a_model):
    """Meanwhile another was promoted."""
    model = a_model(0.1, 0.99)
    other = a_model(0.2, 0.99)
    promote(other, now=NOW)
    with pytest.raises(NotComparable):
        decide(model, now=NOW)
    assert promoted_checkpoint(project) == other


def test_a_changed_rule_is_logged_and_decides_about_what_waits(project, champion, a_model, ada):
    assert promotion_rule(project).probability == 0.95
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=NOW)
    change_rule(project=project, now=LATER, by=ada, probability=0.9)
    model.refresh_from_db()
    assert (model.promoted, model.verdict, model.decision["wanted"]) == (True, Verdict.BETTER, 0.9)
    logged = Action.objects.filter(kind="settings.changed").latest("pk")
    assert (logged.actor, logged.details) == (ada, {"probability": [0.95, 0.9]})
    for wrong in ({"probability": 1.0}, {"probability": 0.2}, {"pairs": 0}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            change_rule(project=project, now=LATER, **wrong)
    assert PromotionRule.objects.get().pairs == 100


def test_a_lead_counted_by_prompt_is_the_one_between_the_accuracies():
    lead, (low, high) = compare_counts([6, 3, 0, 6], [5, 2, 0, 4], [3, 2, 0, 1])
    assert lead.difference == pytest.approx((11 - 6) / 15)
    assert (lead.pairs, lead.prompts) == (15, 3)
    assert low <= lead.difference <= high
    assert lead.probability == pytest.approx(0.875, abs=0.05)  # two prompts, both better


def measured(checkpoint, dataset, right, pairs=6):
    """The checkpoint's figures on a test split of 40 prompts."""
    counts = {"pairs": [pairs] * 40, "right": [right] * 40}
    return Evaluation.objects.create(
        **{"project": checkpoint.project, "checkpoint": checkpoint, "dataset": dataset, "split": "test"},
        figures={"counts": counts},
    )


def another_dataset(project, **fields):
    return DatasetVersion.objects.create(
        **{"project": project, "hash": str(DatasetVersion.objects.count()) * 64, "folder": "frozen"},
        **{"counts": {}, "shares": {}, "answers": 600, "left_out": 0} | fields,
    )


def test_what_waits_is_decided_about_when_both_were_measured_on_more_pairs(project, champion, a_model):
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=NOW)
    dataset = another_dataset(project)
    measured(model, dataset, right=4)
    assert decide_waiting(project, now=LATER) is None  # the promoted one was not
    measured(champion, dataset, right=3)
    assert decide_waiting(project, now=LATER) == model
    model.refresh_from_db()
    assert (model.promoted, model.decision["pairs"], model.decision["dataset"]) == (True, 240, dataset.hash)
    assert model.metrics["pairs"] == 162  # of the test split that it was made with


def test_fewer_pairs_or_prompts_that_a_model_may_have_learned_from_decide_nothing(project, champion, a_model):
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=NOW)
    for dataset, pairs in (
        (another_dataset(project), 4),
        (another_dataset(project, shares={"train": 0.5, "validation": 0.25, "test": 0.25}), 6),
    ):
        measured(model, dataset, right=4, pairs=pairs)
        measured(champion, dataset, right=3, pairs=pairs)
    assert decide_waiting(project, now=LATER) is None
    assert RewardCheckpoint.objects.waiting().get() == model


def test_a_lead_that_vanishes_on_more_pairs_ends_the_waiting(project, champion, a_model):
    model = a_model(0.092, 0.94, pairs=162, prompts=29)
    decide(model, now=NOW)
    dataset = another_dataset(project)
    measured(model, dataset, right=3)
    measured(champion, dataset, right=3)
    decide_waiting(project, now=LATER)
    model.refresh_from_db()
    assert (model.verdict, model.decision["waits_for"]) == (Verdict.NOT_BETTER, 0)
    assert promoted_checkpoint(project) == champion
