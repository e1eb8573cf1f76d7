"""Every step, by its key, in the order of the loop. To add one: a module here with a STEP, and its name."""

from __future__ import annotations

from refl.loop.step import Step
from refl.loop.steps import annotating, freezing, judging, promoting, sampling, studying, training, tuning

STEPS: dict[str, Step] = {
    module.STEP.key: module.STEP
    for module in (sampling, annotating, freezing, training, promoting, tuning, judging, studying)
}
