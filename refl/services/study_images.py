"""The images of a study: every seed once by each generator, then handed to annotators all at once."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence

from django.db import transaction
from django.utils.timezone import now

from annotation.services.projects.images import check_image
from annotation.services.projects.prompts import attach_images
from refl.image_files import ImageFile
from refl.models import Generator, SamplingRun, Study, StudyTask
from refl.services.samples import Sample, new_image
from refl.services.sampling import Row, SamplingConfig, incomplete_batches, make_rows, make_samples
from refl.services.studies import ask_annotators, withdraw_tasks
from rewardmodel.learning.errors import Interrupted
from rewardmodel.models import RewardCheckpoint
from rewardmodel.runs.execution import Heartbeat
from rewardmodel.services.scores import score_for

EQUAL = "Two of its images are equal, to the last pixel."


def make_images(run: SamplingRun, heartbeat: Heartbeat) -> None:
    """Make the images of a run: of a study, or for a project's prompts.

    Raises: Interrupted; NotAPipeline; NotSaved; CheckpointError; ImageRefused.
    """
    study = Study.objects.filter(run=run).first()
    if study is None:
        make_samples(run, heartbeat)
    elif study.state != Study.State.CLOSED:  # a failed run may be tried again after the end of its study
        make_study_images(study, heartbeat, rng=random.Random())


def make_study_images(study: Study, heartbeat: Heartbeat, *, rng: random.Random) -> None:
    """Make the images of a study, ask annotators, and let the promoted reward model score the images.

    Called again after an interruption, it continues where it stopped; no task gets its images twice.

    Args: rng: orders the images of a task in the database, so that no id tells which generator made one.
    Raises: Interrupted; NotAPipeline; NotSaved; CheckpointError; ImageRefused.
    """
    run, generators = study.run, study.compared
    tasks = list(study.tasks.select_related("prompt__project").order_by("pk"))
    if study.tasks.filter(withdrawn="", prompt__generations=None).exists():
        _make_files(run, generators, tasks, heartbeat)
    for task in tasks:
        _import_images(task, [_sample(run, generators[place], task) for place in task.places], rng)
        if heartbeat.should_stop():
            raise Interrupted
    ask_annotators(study, now=now())
    promoted = RewardCheckpoint.objects.filter(project=study.project, promoted=True).first()
    score_for(run, heartbeat, checkpoint=promoted)
    shutil.rmtree(run.folder / "images", ignore_errors=True)


def _make_files(
    run: SamplingRun, generators: Sequence[Generator], tasks: Sequence[StudyTask], heartbeat: Heartbeat
) -> None:
    """Make the files that are missing, one generator after the other: two pipelines need twice the memory."""
    (run.folder / "images").mkdir(parents=True, exist_ok=True)
    config, done = SamplingConfig(**run.config), 0
    for place, generator in enumerate(generators):
        of_file = {_sample(run, generator, task).file: task for task in tasks if place in task.places}
        rows = [
            Row(task.prompt, generator, ImageFile(task.prompt.text, [task.seed], file))
            for file, task in of_file.items()
        ]
        missing = incomplete_batches(rows, config)
        done += len(rows) - len(missing)
        for _ in make_rows(run, generator, missing, config) if missing else ():
            done += 1
            heartbeat.report(step=done, steps=run.steps, values={})
            if heartbeat.should_stop():
                raise Interrupted


def _sample(run: SamplingRun, generator: Generator, task: StudyTask) -> Sample:
    file = run.folder / "images" / f"{generator.pk}-{task.caption}-{task.seed}.png"
    return Sample(generator, task.seed, file)


@transaction.atomic
def _import_images(task: StudyTask, samples: Sequence[Sample], rng: random.Random) -> None:
    """Add the images to the task's prompt. A task of equal ones is withdrawn: people could only tie them."""
    if task.withdrawn or task.prompt.generations.exists():
        return
    images = [(new_image(sample), check_image(sample.file)) for sample in samples]
    if len({checked.sha256 for _, checked in images}) < len(images):
        withdraw_tasks(StudyTask.objects.filter(pk=task.pk), reason=EQUAL, now=now())
        return
    rng.shuffle(images)
    attach_images(prompt=task.prompt, images=images)
