"""What the pages of a tuning show of its method, and of its stages where it has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refl.learning.config import TuningConfig
from refl.learning.outcomes import Stage
from refl.models import TuningRun
from rewardmodel.runs.settings import Setting, settings_of

SHOWN = ("method", "selection", "updates")  # in columns of their own


def read_config(fields: Mapping[str, Any]) -> TuningConfig | None:
    """Return a stored configuration; None of one that this version cannot read: its page must open."""
    try:
        return TuningConfig(**fields)
    except (TypeError, ValueError):
        return None


def planned_stages(config: TuningConfig) -> list[dict[str, Any]]:
    """Return of each stage what it does, and its fields that are not as the run's; none where it has none."""
    return [
        {
            "method": stage.title,
            "updates": stage.updates,
            "settings": _differences(config, overrides),
        }
        for stage, overrides in zip(config.stage_configs(), config.stages, strict=False)
    ]


def stages_at_work(run: TuningRun, config: TuningConfig, stages: Sequence[Stage]) -> list[dict[str, Any]]:
    """Return the same of a run, and how far each stage has come. Args: stages: when they are at work."""
    planned = planned_stages(config)
    if not planned:
        return []
    current = next((stage for stage in stages if stage.end > run.step), None)
    return [
        {
            **row,
            "made": min(max(run.step - stage.start, 0), stage.end - stage.start),
            "state": _state(run, stage, is_current=stage is current),
        }
        for row, stage in zip(planned, stages, strict=True)
    ]


def settings_beside(stages: list[dict[str, Any]], fields: Mapping[str, Any]) -> list[Setting]:
    """Return the fields of a configuration but for its stages, where a table shows those."""
    return settings_of({name: value for name, value in fields.items() if name != "stages" or not stages})


def _state(run: TuningRun, stage: Stage, *, is_current: bool) -> tuple[str, str]:
    """Return a stage's state in words, and its tone."""
    if stage.is_skipped or (run.step < stage.end and not is_current):
        return ("not begun", "quiet") if run.is_over or stage.is_skipped else ("to come", "quiet")
    if not is_current:
        return ("ended early", "busy") if stage.reason else ("done", "good")
    if run.state == TuningRun.State.RUNNING:
        return ("at work", "busy")
    return ("stopped", "bad") if run.is_over else ("waiting", "quiet")


def _differences(config: TuningConfig, overrides: Mapping[str, Any]) -> list[Setting]:
    return settings_of(
        {
            name: value
            for name, value in overrides.items()
            if name not in SHOWN and value != getattr(config, name)
        }
    )
