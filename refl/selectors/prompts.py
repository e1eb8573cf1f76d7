"""Which prompts a generator is tuned on, which judge it, and which wait for images."""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from annotation.models import Assignment, Generation, Project, Prompt
from annotation.selectors.projects.selections import wanted_prompts
from annotation.stored_files import open_file
from refl.models import Generator
from rewardmodel.models import DatasetVersion, RewardCheckpoint
from rewardmodel.services.splits import (
    Shares,
    Splits,
    checkpoint_splits,
    dataset_splits,
    folded,
    project_splits,
)


def prompts_without_images(*projects: Project) -> QuerySet[Prompt]:
    """Prompts without images in the order they came in; only the selected ones where some were selected."""
    imaged = Exists(Generation.objects.filter(prompt=OuterRef("pk")))
    return wanted_prompts(*projects).filter(~imaged).order_by("pk")


def tuning_prompts(checkpoint: RewardCheckpoint) -> list[str]:
    """Return the texts that a generator may be tuned on with this reward model, each once.

    First the prompts of its project that nobody has ranked yet, then those that the model was trained on.
    Prompts of the test split are left out, ranked or not: they judge the outcome. So are ranked prompts of
    the validation split, which chose the model.
    """
    ranked = Exists(Assignment.objects.finished().filter(prompt=OuterRef("pk")))
    rows = checkpoint.project.prompts.annotate(is_ranked=ranked).order_by("is_ranked", "pk")
    splits = checkpoint_splits(checkpoint)
    allowed = {False: ("train", "validation"), True: ("train",)}
    texts = rows.values_list("text", "is_ranked")
    return list(dict.fromkeys(text for text, is_ranked in texts if splits.of(text) in allowed[is_ranked]))


def watched_prompts(checkpoint: RewardCheckpoint) -> list[str]:
    """Return the texts that a tuning's guards look at: the validation split's, each once, ranked ones first.

    The ranked ones are never tuned on; a run leaves out those of the others that it watches.
    """
    ranked = Exists(Assignment.objects.finished().filter(prompt=OuterRef("pk")))
    rows = checkpoint.project.prompts.annotate(is_ranked=ranked).order_by("-is_ranked", "pk")
    splits = checkpoint_splits(checkpoint)
    texts = rows.values_list("text", flat=True)
    return list(dict.fromkeys(text for text in texts if splits.of(text) == "validation"))


def held_out_prompts(checkpoint: RewardCheckpoint) -> list[str]:
    """Return the texts of the project's test split, each once: nothing is trained on them."""
    splits = checkpoint_splits(checkpoint)
    texts = checkpoint.project.prompts.order_by("pk").values_list("text", flat=True)
    return list(dict.fromkeys(text for text in texts if splits.of(text) == "test"))


class TextsUnknown(ValueError):
    """Nobody knows what a generator was tuned on; the message says where that should be written."""


def texts_for_studies(project: Project, generators: Iterable[Generator]) -> list[str]:
    """Return the project's texts that nothing learned from, each once, in their order.

    They are in the test split of every dataset version so far, and none of the generators was tuned on them.

    Raises: TextsUnknown.
    """
    splits, tuned = _splits_in_use(project), texts_tuned_on(generators)
    spellings: dict[str, str] = {}  # two of one text would be two observations that depend on each other
    for text in project.prompts.order_by("pk").values_list("text", flat=True):
        spellings.setdefault(folded(text), text)
    return [
        text
        for key, text in spellings.items()
        if key not in tuned and all(split.of(text) == "test" for split in splits)
    ]


def texts_trained_on(project: Project, texts: Iterable[str]) -> list[str]:
    """Return those of the texts that are in the training split of a dataset version."""
    splits = _splits_in_use(project)
    return [text for text in texts if any(split.of(text) == "train" for split in splits)]


def texts_tuned_on(generators: Iterable[Generator]) -> set[str]:
    """Return the texts, folded, that any of the generators was tuned on, or what it was tuned from.

    Raises: TextsUnknown.
    """
    tuned: set[str] = set()
    for generator in generators:
        ancestor: Generator | None = generator
        while ancestor is not None:
            if ancestor.run is not None:
                file = ancestor.run.folder / "prompts.json"
                try:
                    with open_file(file) as content:
                        tuned |= set(map(folded, json.load(content)["tuning"]))
                except (OSError, ValueError, KeyError) as error:
                    raise TextsUnknown(
                        f"{file} does not say what {ancestor} was tuned on ({type(error).__name__}): "
                        "bring the run's folder back, or compare other generators"
                    ) from None
            ancestor = ancestor.parent
    return tuned


def _splits_in_use(project: Project) -> list[Splits]:
    """Return the splits of the project's dataset versions, each once; without any, the default ones."""
    datasets = DatasetVersion.objects.filter(project=project)
    distinct = {(str(sorted(dataset.shares.items())), dataset.split_by): dataset for dataset in datasets}
    splits = [dataset_splits(dataset) for dataset in distinct.values()]
    return splits or [project_splits(project, shares=Shares())]
