"""A round of the loop as a table for the terminal."""

from __future__ import annotations

from annotation.statistics.notation import change, decimals, interval, percent
from demo.loop import Round
from demo.study import DIVERSITY, PARTS, RIGHT, Preference
from refl.services.judging import Change


def table(this: Round) -> str:
    """Return the results of a round as lines of text. Intervals are 95 %."""
    return "\n".join([f"== round {this.number}", *_learning(this), *_tuning(this), *_effort(this)])


def _learning(this: Round) -> list[str]:
    assert this.checkpoint is not None
    assert this.dataset is not None
    metrics, counts = this.checkpoint.metrics, this.dataset.counts
    pairs = {name: sum(split[name] for split in counts.values()) for name in ("rankings", "pairs", "ties")}
    lines = [
        f"{'annotations':<34}{this.annotations}",
        f"{'rankings, pairs, ties':<34}{pairs['rankings']}, {pairs['pairs']}, {pairs['ties']}",
        f"{'test accuracy':<34}{decimals(metrics['accuracy'])} ({interval(*metrics['interval'])}) "
        f"on {metrics['pairs']} pairs of {metrics['prompts']} prompts",
    ]
    for rival in metrics["beside"]:
        lead = change(rival["difference"], *rival["difference_interval"])
        lines.append(f"{'  over ' + rival['name']:<34}{lead}, which has {decimals(rival['accuracy'])}")
    if this.dataset.ceiling is not None:
        lines.append(f"{'  another annotator (ceiling)':<34}{decimals(this.dataset.ceiling)}")
    promoted = "yes" if this.checkpoint.promoted else "no"
    lines.append(f"{'promoted':<34}{promoted}: {this.checkpoint.decision_in_words}")
    return lines


def _tuning(this: Round) -> list[str]:
    assert this.before is not None
    assert this.tuned is not None
    assert this.control is not None
    lines = [
        f"held-out captions: {len(this.before.verdicts)}, the same seeds for all",
        f"{'':<14}{'before':>9}{'control':>9}{'tuned':>9}   {'tuned less before':<26}  tuned less control",
    ]
    generators = (this.before, this.control, this.tuned)
    for part in ("reward", *PARTS, RIGHT, DIVERSITY):
        means = "".join(f"{decimals(judged.mean(part)):>9}" for judged in generators)
        over_before, over_control = (
            _in_words(this.tuned_over(rival, part)) for rival in (this.before, this.control)
        )
        lines.append(f"{part:<14}{means}   {over_before:<26}  {over_control}")
    for name, rival in (("before", this.before), ("control", this.control)):
        lines.append(f"{'preferred blind over ' + name:<34}{_share(this.preferred_over(rival))}")
    diversity = this.tuned.mean(DIVERSITY) / this.before.mean(DIVERSITY)
    lines.append(f"{'diversity, of that before':<34}{percent(diversity, 0)}")
    lines.append(f"{'kept':<34}{'yes' if this.kept else 'no'}")
    return lines


def _effort(this: Round) -> list[str]:
    return [
        f"{'  ' + step.name:<34}{step.seconds:7.1f} s {step.peak_memory / 2**20:7.0f} MiB"
        for step in this.steps
    ]


def _in_words(measured: Change) -> str:
    return change(measured.difference, measured.low, measured.high)


def _share(preference: Preference) -> str:
    pairs = f"of {preference.decided} decided pairs in {preference.pairs}"
    if not preference.decided:
        return f"none {pairs}"
    ends = preference.interval
    among = f" ({interval(ends.low, ends.high)})" if ends else ""
    return f"{decimals(preference.share)}{among} {pairs}"
