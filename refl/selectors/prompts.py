"""Which prompts a generator is tuned on, which judge it, and which wait for images."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery

from annotation.models import Assignment, ChosenPrompt, Generation, Project, Prompt, PromptSelection
from annotation.selectors.projects.selections import wanted_prompts
from rewardmodel.models import RewardCheckpoint
from rewardmodel.services.splits import checkpoint_splits


def prompts_without_images(project: Project) -> QuerySet[Prompt]:
    """Prompts without images in the order they came in; only the selected ones where some were selected."""
    imaged = Exists(Generation.objects.filter(prompt=OuterRef("pk")))
    return wanted_prompts(project).filter(~imaged).order_by("pk")


def count_prompts_without_images(projects: Collection[int]) -> dict[int, int]:
    """Return how many prompts of each project `prompts_without_images` gives, by the project's id."""
    of_project = PromptSelection.objects.finished().filter(project=OuterRef("project"))
    newest = Subquery(of_project.values("pk")[:1])
    imaged = Exists(Generation.objects.filter(prompt=OuterRef("pk")))
    chosen = Exists(ChosenPrompt.objects.filter(prompt=OuterRef("pk"), selection=OuterRef("newest")))
    prompts = Prompt.objects.filter(~imaged, project__in=projects).annotate(newest=newest)
    wanted = prompts.filter(Q(newest=None) | chosen)
    return dict(wanted.order_by().values_list("project").annotate(Count("pk")))


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
