"""What a reward model is worth: how far it agrees with people on a frozen dataset, beside its rivals."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils.timezone import now

from annotation.models import Project, User
from annotation.selectors.preferences import facts_of_rankings
from annotation.selectors.projects.images import first_generator
from annotation.stored_files import local_copy
from rewardmodel.learning import available_scores
from rewardmodel.learning.errors import Interrupted
from rewardmodel.learning.reference import Reference
from rewardmodel.models import DatasetVersion, Evaluation, EvaluationRun, RewardCheckpoint, TrainingRun
from rewardmodel.models.datasets import SplitBy
from rewardmodel.runs import states
from rewardmodel.runs.execution import Heartbeat, PermanentFailure
from rewardmodel.scoring import scorer
from rewardmodel.selectors import promoted_checkpoint
from rewardmodel.services.datasets import dataset_images, freeze_dataset
from rewardmodel.services.promotions import Comparison, comparison_of, decide_waiting, is_unseen
from rewardmodel.services.scores import score_with_newly_promoted
from rewardmodel.services.splits import Shares
from rewardmodel.services.unreadable import check_unreadable, look_at, record_unreadable

if TYPE_CHECKING:
    from rewardmodel.learning.data.rankings import Ranking
    from rewardmodel.learning.evaluation import About, Judge, Judged
    from rewardmodel.learning.evaluation import Comparison as Lead
    from rewardmodel.learning.evaluation import Evaluation as Agreement


class CannotEvaluate(PermanentFailure):
    """These models cannot be evaluated on these datasets; the message says why."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Which models an evaluation run measures on what: names and hashes within its project.

    Baselines are called by their published names.
    """

    checkpoints: Sequence[str] = ()
    baselines: Sequence[str] = ()
    datasets: Sequence[str] = ()
    split: str = "test"


def queue_evaluation(
    *,
    project: Project,
    datasets: Sequence[DatasetVersion],
    checkpoints: Sequence[RewardCheckpoint] = (),
    baselines: Sequence[str] = (),
    split: str = "test",
    by: User | None = None,
    because: str = "",
) -> EvaluationRun:
    """Ask for every checkpoint and baseline to be measured on every dataset.

    Args: by, because: as `queue_training` has it.
    Raises: CannotEvaluate.
    """
    models = len(checkpoints) + len(baselines)
    if not models or not datasets:
        raise CannotEvaluate(f"{project.slug}: name at least one model and one dataset to evaluate on")
    for name in baselines:
        if name not in available_scores():
            raise CannotEvaluate(f"no baseline {name!r}; there are {', '.join(available_scores())}")
    for dataset in datasets:
        if not dataset.counts.get(split, {}).get("pairs"):
            raise CannotEvaluate(f"dataset {dataset}: no two images in different slots in its {split} split")
    names = [checkpoint.name for checkpoint in checkpoints]
    hashes = [dataset.hash for dataset in datasets]
    config = EvaluationConfig(names, list(baselines), hashes, split)
    with transaction.atomic():
        steps = models * len(datasets)
        run = EvaluationRun.objects.create(project=project, config=dataclasses.asdict(config), steps=steps)
        return states.record_request(run, by=by, because=because)


def queue_decision(waiting: RewardCheckpoint, *, by: User | None = None, because: str = "") -> EvaluationRun:
    """Freeze what is finished now, and ask for the waiting checkpoint and the promoted one to be measured.

    Raises: CannotEvaluate, also where there are no more test pairs than decided last; NothingToFreeze;
        NothingPromoted.
    """
    learned_from = waiting.run.dataset if waiting.run is not None else None
    dataset = freeze_dataset(
        project=waiting.project,
        shares=Shares(**learned_from.shares) if learned_from else None,
        split_by=learned_from.split_by if learned_from else SplitBy.PUBLISHED,
        by=by,
        because=because,
    )
    if dataset.counts["test"]["pairs"] <= waiting.decision["pairs"]:
        raise CannotEvaluate(
            f"{waiting} waits for more test pairs than the {waiting.decision['pairs']:,} that decided last: "
            "more prompts have to be ranked"
        )
    return queue_evaluation(
        project=waiting.project,
        datasets=[dataset],
        checkpoints=[promoted_checkpoint(waiting.project), waiting],
        by=by,
        because=because,
    )


def evaluate_models(run: EvaluationRun, heartbeat: Heartbeat) -> None:
    """Do the run's work. Done again after an interruption, it measures what it has not measured yet.

    A reward model that waits for more test pairs is decided about, if the run measured it on more; promoted,
    it scores the project's images.

    Rankings with an image that cannot be read are left out, and the images named with the run.

    Raises: CannotEvaluate, TooManyUnreadable, Interrupted, DatasetError; ValueError when no pair is left.
    """
    config = EvaluationConfig(**run.config)
    checkpoints = _rows_by_name(
        RewardCheckpoint.objects.filter(project=run.project), "name", config.checkpoints
    )
    datasets = _rows_by_name(DatasetVersion.objects.filter(project=run.project), "hash", config.datasets)
    step = 0
    for model in (*checkpoints, *config.baselines):
        done = set(run.evaluations.filter(**_identity(model)).values_list("dataset_id", flat=True))
        scorer = None if done.issuperset(dataset.pk for dataset in datasets) else _load(model)
        for dataset in datasets:
            if scorer is not None and dataset.pk not in done:
                if heartbeat.should_stop():
                    raise Interrupted
                splits = {config.split, "validation"}
                with dataset_images(dataset, splits=splits, should_stop=heartbeat.should_stop) as images:
                    left_out = _unreadable(run, dataset, splits, images)
                    base = None if isinstance(model, str) else model.metrics.get("base")
                    judged = _judge_and_report(scorer, dataset, config.split, images, left_out, base=base)
                    figures = judged.figures
                record_figures(model, dataset=dataset, split=config.split, figures=figures, run=run)
            step += 1
            heartbeat.report(step=step, steps=run.steps, values={})
    decide_waiting(run.project, now=now())
    score_with_newly_promoted(run, heartbeat)


def _load(model: RewardCheckpoint | str) -> Judge:
    from rewardmodel.learning import load_score
    from rewardmodel.learning.errors import CheckpointError

    try:
        if isinstance(model, str):
            return load_score(model, download_root=settings.BASELINES_DIR)
        return scorer(model)
    except CheckpointError as error:
        raise CannotEvaluate(f"{model}: {error}") from error


def _identity(model: RewardCheckpoint | str) -> dict[str, Any]:
    """Return the fields of an Evaluation that say which model it is of."""
    if isinstance(model, str):
        return {"checkpoint": None, "baseline": model}
    return {"checkpoint": model, "baseline": ""}


def _rows_by_name(rows: Any, field: str, names: Sequence[str]) -> list[Any]:
    """Return the rows in the order of their names. Raises: CannotEvaluate where one is gone."""
    by_name = {getattr(row, field): row for row in rows.filter(**{f"{field}__in": names})}
    gone = [name for name in names if name not in by_name]
    if gone:
        raise CannotEvaluate(f"there is no longer {', '.join(gone)}")
    return [by_name[name] for name in names]


def record_figures(
    model: RewardCheckpoint | str,
    *,
    dataset: DatasetVersion,
    split: str,
    figures: dict[str, Any],
    run: EvaluationRun | None = None,
) -> Evaluation:
    """Record figures, in place of earlier ones of the same model, dataset and split.

    Args: model: a checkpoint, or a baseline by its name.
    """
    evaluation, _ = Evaluation.objects.update_or_create(
        **_identity(model),
        dataset=dataset,
        split=split,
        defaults={"project": dataset.project, "figures": figures, "run": run},
    )
    return evaluation


@dataclass(frozen=True)
class Measured:
    """A run's checkpoint on the test split of its dataset.

    Attributes:
        metrics: what a RewardCheckpoint keeps.
        figures: all figures of the checkpoint by itself.
        waiting: where a checkpoint waits to be promoted: it and the promoted one on the same pairs, unless
            one of them may have learned from these.
    """

    metrics: dict[str, Any]
    figures: dict[str, Any]
    waiting: tuple[RewardCheckpoint, Comparison] | None = None


def measure(run: TrainingRun, *, images: Path, left_out: Collection[str]) -> Measured:
    """Measure the checkpoint the run made beside the promoted one, one that waits, and what it started from.

    All are evaluated on the test split of the run's dataset.

    Args:
        images: the folder that `dataset_images` gives.
        left_out: hashes of images whose rankings are dropped.
    Raises: CheckpointError, UnreadableImage; ValueError when the split has no pair.
    """
    from rewardmodel.learning import load
    from rewardmodel.learning.evaluation import compare, evaluate, evaluate_rewards

    checkpoints = RewardCheckpoint.objects.filter(project=run.project_id)
    promoted, waiting = checkpoints.promoted().first(), checkpoints.waiting().first()
    rivals = {rival.pk: rival for rival in (run.initial, promoted, waiting) if rival is not None}
    model = load(str(run.folder / "best"))
    judgement = _judge_and_report(model, run.dataset, "test", images, left_out)
    judged = judgement.judged
    own = evaluate_rewards(judged.rewards, judged.rankings)
    others = {pk: evaluate(scorer(rival), judged.rankings) for pk, rival in rivals.items()}
    beside = [
        {**_summary(others[pk]), "id": pk, "name": rival.name, **_lead(compare(own, others[pk]))}
        for pk, rival in rivals.items()
    ]
    people: dict[str, Any] = {"dataset": run.dataset.hash, "ceiling": run.dataset.ceiling}
    people["base"] = judgement.base
    again = None
    if waiting is not None and promoted is not None and is_unseen(run.dataset, (waiting, promoted)):
        lead = _lead(compare(others[waiting.pk], others[promoted.pk]))
        figures = {**_summary(own), **lead}
        again = (waiting, comparison_of(figures, rival=promoted, dataset=run.dataset.hash))
    return Measured({**_summary(own), **people, "beside": beside}, judgement.figures, again)


def rankings_of(
    dataset: DatasetVersion, split: str, images: Path, left_out: Collection[str] = ()
) -> list[Ranking]:
    """The rankings of a split, less those with an image that is left out.

    Args:
        images: the folder that `dataset_images` gives.
        left_out: hashes of images.
    Raises: DatasetError.
    """
    from rewardmodel.learning.data.rankings import load_rankings

    with local_copy(dataset.path) as folder:
        rankings = load_rankings(folder, split, images)
    return [ranking for ranking in rankings if not any(image.stem in left_out for image in ranking.images)]


def _unreadable(run: EvaluationRun, dataset: DatasetVersion, splits: Iterable[str], images: Path) -> set[str]:
    """Return the hashes of the images of the splits that cannot be read, after recording them.

    Raises: TooManyUnreadable.
    """
    rankings = [ranking for split in splits for ranking in rankings_of(dataset, split, images)]
    files = {image for ranking in rankings for image in ranking.images}
    broken = look_at(sorted(files))
    unreadable = {file.name: why for file, why in broken.items()}
    record_unreadable(run, unreadable, images=len(files), of=f"dataset {dataset}")
    check_unreadable(unreadable, images=len(files))
    return {file.stem for file in broken}


def unreadable_images(run: TrainingRun) -> Collection[str]:
    """The hashes of the images whose rankings the run was told to drop."""
    from rewardmodel.learning import training

    if run.config.get("unreadable_images") != "drop":
        return set()
    with local_copy(run.folder / training.INSPECTED) as file:
        return {Path(file).stem for file in training.unreadable_images(file)}


@dataclass(frozen=True)
class _Judgement:
    """What a model says of a split, and all figures."""

    judged: Judged
    figures: dict[str, Any]
    base: dict[str, Any] | None  # as a checkpoint's metrics have it


def _judge_and_report(
    model: Judge,
    dataset: DatasetVersion,
    split: str,
    images: Path,
    left_out: Collection[str] = (),
    *,
    base: dict[str, Any] | None = None,
) -> _Judgement:
    """What a model says of a split, and every figure that follows.

    The temperature is fitted to the validation split, and so is not where that is the one evaluated.

    Args: base: whose reward the examples' are compared with, as the checkpoint's metrics have it; else these
        images tell.
    """
    from rewardmodel.learning.evaluation import judge, report

    rankings = rankings_of(dataset, split, images, left_out)
    others = rankings_of(dataset, "validation", images, left_out) if split != "validation" else []
    about = _about(dataset.project, rankings)
    judged = judge(model, rankings)
    validation = judge(model, others) if others else None
    figures = report(judged, about=about, validation=validation)
    base = base or _base_figures(dataset.project, judged, about, validation)
    figures["examples"] = _with_standings(figures["examples"], _reference(model, validation), base)
    return _Judgement(judged, figures, base)


def _reference(model: Judge, validation: Judged | None) -> Reference | None:
    """What the model's rewards are read against: its own reference, else its rewards of the validation split.

    None where the model has none and the split no pair.
    """
    from rewardmodel.learning.evaluation import pairs_of
    from rewardmodel.learning.scoring import FileScorer

    if isinstance(model, FileScorer) and model.config.reference is not None:
        return model.config.reference
    if validation is None:
        return None
    margins = pairs_of(validation.rewards, validation.rankings).margin
    if not len(margins):
        return None
    return Reference.of(np.concatenate([np.asarray(rewards) for rewards in validation.rewards]), margins)


def _with_standings(
    examples: dict[str, list[dict[str, Any]]], reference: Reference | None, base: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the examples with where each reward stands, and `over`, what `preferred` compares with."""
    if reference is None:
        return examples
    over = base["reward"] if base else None
    rival = f"the median of {base['generator']}'s images" if base else "the median of the validation images"

    def standing(reward: float) -> dict[str, float]:
        return dataclasses.asdict(reference.standing(reward, over=over))

    return {
        kind: [
            {
                **pair,
                "standing": standing(pair["reward"]),
                "other_standing": standing(pair["other_reward"]),
            }
            for pair in pairs
        ]
        for kind, pairs in examples.items()
    } | {"over": rival}


def _base_figures(
    project: Project, judged: Judged, about: list[About], validation: Judged | None
) -> dict[str, Any] | None:
    """The median reward of the base's images in both splits, each image once; None where there is none."""
    base = first_generator(project)
    parts = [(judged, about)]
    if base and validation is not None:
        parts.append((validation, _about(project, validation.rankings)))
    rewards = {
        (ranking.prompt, image): reward
        for part, facts_of in parts
        for ranking, scores, facts in zip(part.rankings, part.rewards, facts_of, strict=True)
        for image, reward, generator in zip(ranking.images, scores, facts.generators, strict=False)
        if generator == base
    }
    if not base or not rewards:
        return None
    return {"generator": base, "reward": median(rewards.values()), "images": len(rewards)}


def _about(project: Project, rankings: Sequence[Ranking]) -> list[About]:
    """What the project knows of each ranking now: a dataset's row is called by its assignment's id."""
    from rewardmodel.learning.evaluation import About

    assignments = {int(ranking.id) for ranking in rankings if ranking.id.isdecimal()}
    facts = facts_of_rankings(project, assignments)
    about = []
    for ranking in rankings:
        prompt = facts.get(int(ranking.id)) if ranking.id.isdecimal() else None
        if prompt is None:
            about.append(About())
            continue
        generators = [prompt.generators.get(image.stem, "") for image in ranking.images]
        about.append(About(prompt.category, tuple(generators) if all(generators) else ()))
    return about


def _lead(comparison: Lead) -> dict[str, Any]:
    """Return what a checkpoint keeps of its lead over another."""
    return {
        "difference": comparison.difference,
        "difference_interval": [comparison.interval.low, comparison.interval.high],
        "probability": comparison.probability,
    }


def _summary(evaluation: Agreement) -> dict[str, Any]:
    """Return what a checkpoint keeps of an evaluation; accuracies are 0 to 1."""
    return {
        "accuracy": evaluation.accuracy,
        "accuracy_by_prompt": evaluation.accuracy_by_prompt,
        "interval": [evaluation.interval.low, evaluation.interval.high],
        "pairs": evaluation.pairs,
        "prompts": evaluation.prompts,
    }
