"""What the guards made of a run, stage by stage and in one sentence for people. It follows from the looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotation.statistics import notation
from refl.learning.config import TuningConfig
from refl.learning.looks import (
    HELD_OUT,
    LOOKS,
    TUNED,
    Alarm,
    Look,
    best_look,
    held_out_figures,
    held_out_moves,
    read_looks,
    stop_reason,
)


@dataclass(frozen=True)
class Stage:
    """When a stage of a run is, or was, at work, in updates of the run.

    Attributes:
        start, end: updates done before its first, and after its last.
        reason: why the guards ended it, by an alarm or before all of its updates; "" where they did not.
        is_skipped: whether an alarm ended the run before it.
    """

    start: int
    end: int
    reason: str = ""
    is_skipped: bool = False


def stages_of(config: TuningConfig, looks: Sequence[Look]) -> list[Stage]:
    """Return the run's stages in order, those to come as they are planned."""
    stages: list[Stage] = []
    for number, stage in enumerate(config.stage_configs(), 1):
        start = stages[-1].end if stages else 0
        seen = [look for look in looks if look.step > 0 and look.stage <= number]
        last = seen[-1] if seen else None
        if last is not None and last.alarm is not None and last.stage < number:
            stages.append(Stage(start, start, is_skipped=True))
            continue
        planned = start + stage.updates
        reason = ""
        if last is not None and last.stage == number and (last.alarm is not None or last.step < planned):
            so_far = [looks[0], *seen]
            reason = stop_reason(so_far, best_look(so_far), config.patience)
        stages.append(Stage(start, last.step if last is not None and reason else planned, reason))
    return stages


@dataclass(frozen=True)
class Outcome:
    """What the guards made of a run.

    Attributes:
        step: updates done.
        best: the update whose weights are saved; 0 for the untuned generator's.
        reason: why the run, or its last stage, stopped early; "" when it did not.
        alarm: what was beyond its limit, None when nothing was.
        base, figures, last: means over prompts of the untuned generator, of what is saved, and of the
            last look.
        seconds: what all looks took.
        choice: why those weights are the best.
        endings: of the run and each stage that was ended early, that and why.
    """

    step: int
    best: int
    reason: str
    alarm: Alarm | None
    base: Mapping[str, float]
    figures: Mapping[str, float]
    last: Mapping[str, float]
    seconds: float
    choice: str
    endings: tuple[str, ...] = ()

    @property
    def is_better(self) -> bool:
        """Whether what was saved is not the untuned generator."""
        return self.best > 0

    def sentence(self, *, is_over: bool = True) -> str:
        """Say in one sentence what the guards kept and why, and what they ended early."""
        if self.best == 0:
            best = "the untuned generator"
        elif not is_over:
            best = f"update {self.best}"
        elif self.best < self.step:
            best = f"update {self.best} of {self.step}"
        else:
            best = f"the last of {self.step} updates" if self.step > 1 else "the only update"
        verb = "The guards kept" if is_over else "So far the guards keep"
        return f"{'; '.join([f'{verb} {best}: {self.choice}', *self.endings])}."

    def to_dict(self) -> dict[str, Any]:
        """Return fields and values, fit for JSON."""
        return {**asdict(self), "sentence": self.sentence()}


def outcome(looks: Sequence[Look], stages: Sequence[Stage]) -> Outcome:
    """Sum up the looks of a run, which has made as many updates as the last of them.

    Args: stages: what `stages_of` makes of the same looks.
    """
    best, last = best_look(looks), looks[-1]
    return Outcome(
        step=last.step,
        best=best.step,
        reason=stages[last.stage - 1].reason,
        alarm=last.alarm,
        base=looks[0].figures,
        figures=best.figures,
        last=last.figures,
        seconds=sum(look.seconds for look in looks),
        choice=_choice(looks, best),
        endings=tuple(_endings(stages, last.alarm)),
    )


def read_outcome(run: Path, config: TuningConfig) -> Outcome | None:
    """Return what the guards made of the run in a folder; None where there were none."""
    looks = read_looks(run / LOOKS)
    return outcome(looks, stages_of(config, looks)) if looks else None


def _choice(looks: Sequence[Look], best: Look) -> str:
    """Say why the best look is the best."""
    base = looks[0]
    moves = held_out_moves(base, best)
    rose = [name for name, move in moves.items() if move > 0]
    if best is base:
        why = _why_none([look for look in looks[1:] if look.alarm is None], base)
        return f"{why} before the alarm" if looks[-1].alarm else why
    if not moves:
        return "it is the newest without an alarm, and there is no held-out reward"
    if rose:
        why = " and ".join(f"{_named([name])} rose {_change(name, base, best)}" for name in rose)
    else:
        verb = "rose" if best.figures[TUNED] > base.figures[TUNED] else "went"
        change = _change(TUNED, base, best)
        why = f"{_named(moves)} did not fall, and the reward it is tuned on {verb} {change}"
    is_last = all(look.step <= best.step or look.alarm is not None for look in looks)
    return why if is_last else f"{why}, and no later look was better"


def _why_none(looks: Sequence[Look], base: Look) -> str:
    """Say why none of the looks, which raised no alarm, is better than the untuned generator."""
    if not looks:
        return "there was no look"
    falls = [[name for name, move in held_out_moves(base, look).items() if move < 0] for look in looks]
    count, total = sum(map(bool, falls)), f"{len(looks)} looks" if len(looks) > 1 else "the only look"
    if not count:
        held_out = _named(held_out_figures(base))
        return f"neither {held_out} nor the reward it is tuned on rose in {total}"
    names = [name for name in held_out_figures(base) if any(name in fall for fall in falls)]
    if count == len(looks):
        return f"{_named(names, 'or')} fell in {'each of ' if count > 1 else ''}{total}"
    return f"{_named(names, 'or')} fell in {count} of {total}, and in the others no reward rose"


def _named(figures: Iterable[str], joint: str = "and") -> str:
    *names, last = (figure.removeprefix(HELD_OUT) for figure in figures)
    if not names:
        return f"held-out reward {last}"
    return f"held-out reward{'s' if joint == 'and' else ''} {', '.join(names)} {joint} {last}"


def _change(figure: str, before: Look, after: Look) -> str:
    base, value = (notation.significant(look.figures[figure]) for look in (before, after))
    return f"from {base} to {value}"


def _endings(stages: Sequence[Stage], alarm: Alarm | None) -> Iterator[str]:
    """Say of the run and each of its stages that was ended early that it was, and why."""
    for number, stage in enumerate(stages, 1):
        if stage.reason and stage.reason != str(alarm):
            what = f"stage {number}" if len(stages) > 1 else "the run"
            yield f"{what} was ended early, at update {stage.end}, as {stage.reason}"
    if alarm is not None:
        yield f"an alarm ended the run: {alarm}"
