"""Rounds of the whole loop, with each step measured and the result judged by the oracle.

One round: simulated annotators judge what is open, the preferences are frozen, the reward model is trained,
the generator and a control are tuned, and the tuned generator draws the next round's images.
"""

from __future__ import annotations

import fcntl
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, sleep
from typing import Any

from django.conf import settings
from django.utils.timezone import now

from annotation import jobs
from annotation.models import Project
from demo.people import Person
from demo.seeding import IMAGES_PER_PROMPT, first_images
from demo.simulation import simulate
from demo.study import Judged, Preference, annotators_ceiling, blind_preference, judge_generator
from demo.world.captions import Split, draw_captions
from refl.loop.queue import start_step
from refl.loop.step import Started
from refl.models import Generator, TuningPolicy
from refl.selectors.generators import newest_kept
from refl.services.generators import record_judge
from refl.services.judging import Change, paired_change
from rewardmodel.models import DatasetVersion, RewardCheckpoint, Run
from rewardmodel.runs import states
from rewardmodel.runs.execution import peak_memory
from rewardmodel.runs.supervision import supervise
from rewardmodel.selectors import promoted_checkpoint
from rewardmodel.services.datasets import record_ceiling
from rewardmodel.services.splits import Shares

POLL_SECONDS = 1.0
# A larger test split than usual, for narrower intervals.
SHARES = Shares(train=0.6, validation=0.15, test=0.25)


class RunFailed(Exception):
    """A run of the loop failed or was cancelled; the message has the run's error."""


class LoopBusy(Exception):
    """Another `run_loop` is working on this project."""


@contextmanager
def alone_in(project: Project) -> Iterator[None]:
    """Lock the project against other loops: two would take each other's open work and schedule.

    The lock is a file's, which the system releases when the process dies, and survives a restart of Postgres.

    Raises: LoopBusy.
    """
    settings.VAR.mkdir(parents=True, exist_ok=True)
    with (settings.VAR / f"loop-{project.pk}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LoopBusy(f"another run_loop works on {project.slug}: wait for it, or stop it") from None
        yield


@dataclass(frozen=True)
class Step:
    """The cost of one step. Memory is the peak of the process that did the work, in bytes."""

    name: str
    seconds: float
    peak_memory: int


@dataclass
class Round:
    """The results of one round so far."""

    number: int
    annotations: int = 0
    dataset: DatasetVersion | None = None
    checkpoint: RewardCheckpoint | None = None
    before: Judged | None = None
    tuned: Judged | None = None
    control: Judged | None = None
    kept: bool = False
    people: Sequence[Person] = ()
    steps: list[Step] = field(default_factory=list)

    def tuned_over(self, rival: Judged, part: str) -> Change:
        """Return the tuned generator's gain over a rival. Args: part: as in `Judged.scores`."""
        assert self.tuned is not None
        return paired_change(rival.scores(part), self.tuned.scores(part), seed=0)

    def preferred_over(self, rival: Judged) -> Preference:
        """Ask the people which they prefer, the tuned generator's images or the rival's."""
        assert self.tuned is not None
        return blind_preference(rival, self.tuned, people=self.people, seed=0)


@dataclass(frozen=True)
class Loop:
    """What all rounds of one `run_loop` share.

    Attributes:
        url: where the project's pages answer.
        people: the simulated annotators.
        tasks: judgements per round.
        held_out: the number of evaluation captions on which the oracle judges each generator.
        say: called with a line about what is happening.
    """

    project: Project
    url: str
    people: Sequence[Person]
    tasks: int
    held_out: int
    seed: int
    say: Callable[[str], None]

    def rounds(self, count: int) -> Iterator[Round]:
        """Do the rounds, yielding each when it is over. Raises: RunFailed, and what the steps raise.

        Runs that the schedule had started are finished first, so that only the rounds change the models.
        """
        for model in states.run_models():
            for run in model._default_manager.active().filter(project=self.project).order_by("pk"):
                self.say(f"{run} was under way")
                _finish(run)
        for number in range(1, count + 1):
            this = Round(number, people=self.people)
            if not self.project.assignments.exists():
                images = self._start(this, "sample", **first_images(self.project, prompts=self.tasks))
                self._complete(this, "first images", images)
            self._round(this)
            yield this

    def _round(self, this: Round) -> None:
        with self._step(this, "annotate"):
            this.annotations = self._annotate(this.number)
        with self._step(this, "freeze"):
            this.dataset = self._start(this, "freeze", shares=SHARES, ratings=True).dataset
            assert this.dataset is not None
            training = self._start(this, "train", dataset=this.dataset)
            ceiling = annotators_ceiling(this.dataset, people=self.people, seed=self.seed)
            record_ceiling(this.dataset, ceiling=ceiling)
        run = self._complete(this, "train", training)
        this.checkpoint = RewardCheckpoint.objects.get(run_id=run.pk)
        start, reward = newest_kept(self.project), promoted_checkpoint(self.project)
        config = TuningPolicy.objects.get(project=self.project).config
        control = self._tune(this, "tune the control", start, reward, without_reward(config))
        tuned = self._tune(this, "tune", start, reward, config)
        this.kept = bool(tuned.kept)
        with self._step(this, "ask the oracle"):
            captions = draw_captions(Split.EVALUATION, self.held_out, random.Random(self.seed))
            this.before, this.control, this.tuned = (
                judge_generator(generator, captions=captions, reward=reward)
                for generator in (start, control, tuned)
            )
            record_judge(tuned, judge="oracle", win_rate=this.tuned.win_rate(this.before))
        images = self._start(
            this,
            "sample",
            per_prompt=IMAGES_PER_PROMPT,
            prompts=self.tasks,
            checkpoint=reward,
            pool_factor=2,
            rng=random.Random(self.seed + this.number),
        )
        self._complete(this, "images for the next round", images)

    def _annotate(self, number: int) -> int:
        return simulate(
            url=self.url,
            project=self.project.slug,
            people=self.people,
            tasks=self.tasks,
            seed=self.seed + number,
            on_task=lambda: None,
        )

    def _tune(
        self, this: Round, name: str, start: Generator, reward: RewardCheckpoint, config: dict[str, Any]
    ) -> Generator:
        tuning = self._start(this, "tune", generator=start, checkpoint=reward, config=config)
        run = self._complete(this, name, tuning)
        return Generator.objects.get(run_id=run.pk)

    def _start(self, this: Round, step: str, **options: Any) -> Started:
        """Start a step of the loop. Raises: StepRefused."""
        return start_step(self.project, step, because=f"run_loop, round {this.number}", **options)

    def _complete(self, this: Round, name: str, started: Started) -> Run:
        """Do the run that a step started, and return it. Raises: RunFailed."""
        run = started.run
        assert run is not None
        self.say(f"round {this.number}: {name} ({run})")
        _finish(run)
        if run.state != Run.State.FINISHED:
            raise RunFailed(f"{run} {run.state}: {run.error}")
        this.steps.append(Step(name, run.seconds, run.peak_memory or 0))
        return run

    @contextmanager
    def _step(self, this: Round, name: str) -> Iterator[None]:
        self.say(f"round {this.number}: {name}")
        start = monotonic()
        yield
        this.steps.append(Step(name, monotonic() - start, peak_memory()))


def without_reward(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a control: as many updates in every stage, on pairs that nothing chose.

    Guards would end it with the weights it started from.
    """
    unheeded = {"method": "selected", "selection": "filter", "keep_share": 1.0}
    stages = [stage | unheeded for stage in config.get("stages", [])]
    return config | unheeded | {"guard_every": 0} | ({"stages": stages} if stages else {})


def _finish(run: Run) -> None:
    """Do the run in a new process, or wait for the worker that claimed it first, until it is over."""
    while not run.is_over:
        try:
            supervise(run, should_stop=lambda: False)
        except jobs.JobLost:
            sleep(POLL_SECONDS)
            jobs.requeue_silent(type(run), now=now())  # a worker may have died, and there may be no schedule
        run.refresh_from_db()
