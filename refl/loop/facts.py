"""All that the steps' states follow from, of any number of projects in a fixed number of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from annotation.access import Do, roles_that
from annotation.models import Assignment, Generation, Membership, Project, Prompt
from refl.models import Generator, SamplingRun, StepRefusal, Study, StudyGenerator, TuningPolicy, TuningRun
from refl.selectors.prompts import prompts_without_images
from rewardmodel.models import (
    DatasetVersion,
    EvaluationRun,
    RewardCheckpoint,
    Run,
    TrainingPolicy,
    TrainingRun,
)
from rewardmodel.selectors import rankings_since

R = TypeVar("R", bound=Run)
KINDS: tuple[type[Run], ...] = (SamplingRun, TrainingRun, EvaluationRun, TuningRun)


@dataclass(frozen=True)
class Facts:
    """What the states of one project's steps follow from.

    Attributes:
        opinions: its ordinary assignments by state.
        runs: its newest run of each kind.
        dataset, trained_on: the newest version, and the newest that a training was asked for on.
        promoted: its reward model in use; `is_tried` says whether a tuning was asked for with it since.
        trained: the newest reward model that a run made.
        waiting: the one that waits for more test pairs before it is promoted.
        has_initial: whether training has a checkpoint to start from.
        generator: the newest that is kept and was looked at; `is_sampled` says whether it ever made images.
        tuned: the newest that a tuning made.
        is_studied: whether people answered a study that compared `generator` with its parent.
        study: the newest under way, else the newest, with how many opinions are wanted and given on it.
        refusals: why the schedule could not start a step that was due, by the step's key.
    """

    project: Project
    annotators: int
    has_prompts: bool
    has_images: bool
    prompts_without_images: int
    opinions: Mapping[str, int]
    runs: Mapping[type[Run], Run]
    dataset: DatasetVersion | None
    trained_on: DatasetVersion | None
    promoted: RewardCheckpoint | None
    is_tried: bool
    trained: RewardCheckpoint | None
    waiting: RewardCheckpoint | None
    has_initial: bool
    generator: Generator | None
    is_sampled: bool
    is_studied: bool
    tuned: Generator | None
    study: Study | None
    study_wanted: int
    study_answered: int
    training_policy: TrainingPolicy | None
    tuning_policy: TuningPolicy | None
    refusals: Mapping[str, str]

    @property
    def trains_by_itself(self) -> bool:
        return self.training_policy is not None and self.training_policy.enabled

    @property
    def tunes_by_itself(self) -> bool:
        return self.tuning_policy is not None and self.tuning_policy.enabled

    @property
    def finished(self) -> int:
        """Rankings that count."""
        return self.opinions.get(Assignment.State.ACCEPTED, 0)

    @property
    def new_rankings(self) -> int:
        """Rankings that came in since those that the reward model was trained on."""
        return rankings_since(self.trained_on, finished=self.finished)

    def newest(self, model: type[R]) -> R | None:
        """Return the project's newest run of a kind."""
        run = self.runs.get(model)
        assert run is None or isinstance(run, model)
        return run


def read_facts(projects: Collection[Project]) -> dict[int, Facts]:
    """Return the facts of each project by its id."""
    ids = [project.pk for project in projects]
    runs: dict[int, dict[type[Run], Run]] = defaultdict(dict)
    for model in KINDS:
        for pk, run in _newest(runs_of_steps(model), ids).items():
            runs[pk][model] = run
    opinions: dict[int, dict[str, int]] = defaultdict(dict)
    ordinary = Assignment.objects.ordinary().filter(project__in=ids).order_by()
    for pk, state, count in ordinary.values_list("project", "state").annotate(Count("pk")):
        opinions[pk][state] = count
    refusals: dict[int, dict[str, str]] = defaultdict(dict)
    for refusal in StepRefusal.objects.filter(project__in=ids):
        refusals[refusal.project_id][refusal.step] = refusal.reason
    datasets = DatasetVersion.objects.all()
    dataset, trained_on = _newest(datasets, ids), _newest(datasets.trained_on(), ids)
    tried = TuningRun.objects.filter(
        checkpoint=OuterRef("pk"), created_at__gte=Coalesce(OuterRef("promoted_at"), OuterRef("created_at"))
    )
    models = RewardCheckpoint.objects.select_related("run")
    promoted = _newest(models.filter(promoted=True).annotate(is_tried=Exists(tried)), ids)
    trained = _newest(models.versions(), ids)
    waiting = _newest(models.filter(verdict=RewardCheckpoint.Verdict.WAITING), ids)
    sampled = SamplingRun.objects.filter(generator=OuterRef("pk"), study=None)
    generators = Generator.objects.select_related("run", "parent")
    answered = Assignment.objects.filter(
        prompt__study_task__study=OuterRef("study"), state=Assignment.State.ACCEPTED
    )
    studied = StudyGenerator.objects.filter(
        Exists(answered),
        generator=OuterRef("pk"),
        place__gt=0,
        study__entries__place=0,
        study__entries__generator=OuterRef("parent"),
    )
    newest_kept = generators.kept().seen().annotate(is_sampled=Exists(sampled), is_studied=Exists(studied))
    generator = _newest(newest_kept, ids)
    studies = Study.objects.select_related("run__generator", "run__project")
    studies = studies.annotate(is_closed=Q(state=Study.State.CLOSED))
    study_of = _newest(studies.with_opinions(), ids, "is_closed", "-pk")
    tuned = _newest(generators.filter(run__isnull=False), ids)
    imageless = prompts_without_images(*projects).order_by().values_list("project")
    without_images = dict(imageless.annotate(Count("pk")))
    return {
        project.pk: Facts(
            project=project,
            annotators=project.annotators,
            has_prompts=project.has_prompts,
            has_images=project.has_images,
            prompts_without_images=without_images.get(project.pk, 0),
            opinions=opinions[project.pk],
            runs=runs[project.pk],
            dataset=dataset.get(project.pk),
            trained_on=trained_on.get(project.pk),
            promoted=(reward := promoted.get(project.pk)),
            is_tried=bool(reward and reward.is_tried),
            trained=trained.get(project.pk),
            waiting=waiting.get(project.pk),
            has_initial=project.has_initial,
            generator=(newest := generator.get(project.pk)),
            is_sampled=bool(newest and newest.is_sampled),
            is_studied=bool(newest and newest.is_studied),
            tuned=tuned.get(project.pk),
            study=(study := study_of.get(project.pk)),
            study_wanted=study.wanted if study else 0,
            study_answered=study.answered if study else 0,
            training_policy=getattr(project, "training_policy", None),
            tuning_policy=getattr(project, "tuning_policy", None),
            refusals=refusals[project.pk],
        )
        for project in _projects(ids)
    }


def _projects(ids: Collection[int]) -> QuerySet[Any]:
    """The projects with their policies and with what they have at all."""
    of_project = {"project": OuterRef("pk")}
    annotators = Membership.objects.filter(**of_project, role__in=roles_that(Do.ANNOTATE))
    members = annotators.order_by().values("project").annotate(count=Count("pk")).values("count")
    return (
        Project.objects.filter(pk__in=ids)
        .select_related("training_policy", "tuning_policy")
        .annotate(
            annotators=Coalesce(members, 0),
            has_prompts=Exists(Prompt.objects.filter(**of_project)),
            has_images=Exists(Generation.objects.collected().filter(prompt__project=OuterRef("pk"))),
            has_initial=Exists(RewardCheckpoint.objects.registered().filter(**of_project)),
        )
    )


def _newest(rows: QuerySet[Any], projects: Collection[int], *order: str) -> dict[int, Any]:
    """Return the newest of the rows of each project, or the first in another order."""
    first = rows.filter(project__in=projects).order_by("project_id", *(order or ["-pk"]))
    return {row.project_id: row for row in first.distinct("project_id")}


def runs_of_steps(model: type[Run]) -> QuerySet[Any]:
    """Runs of a kind that are a step's, with what pages name beside them; a study's images are its own."""
    made = {TrainingRun: ["checkpoint"], TuningRun: ["result"]}.get(model, [])
    others: dict[type[Run], dict[str, Any]] = {SamplingRun: {"study": None}}
    runs = model._default_manager.select_related("project", "requested_by", *model.inputs, *made)
    return runs.filter(**others.get(model, {}))
