"""The parts of run pages that are specific to tunings and samplings, for admins of the project."""

from __future__ import annotations

from typing import Any

from annotation.stored_files import local_copy
from refl.learning.looks import LOOKS, read_looks
from refl.learning.outcomes import stages_of
from refl.models import Generator, SamplingRun, TuningRun
from refl.views.guards import guard_details, held_out_series
from refl.views.samples import sample_details
from refl.views.stages import read_config, settings_beside, stages_at_work
from rewardmodel.runs.views import Kind
from rewardmodel.selectors import Curve, curves

CHARTS = {
    "reward": "Reward, mean of the update's images",
    "reward_loss": "Reward loss, unweighted",
    "pretraining_loss": "Pre-training loss, unweighted",
    "preference_loss": "Preference loss",
    "preference_accuracy": "Share of pairs on whose preferred image it gains more",
    "policy_loss": "Loss of both implicit policies",
}


def _tuning_details(run: TuningRun) -> dict[str, Any]:
    tuned, config = Generator.objects.filter(run=run).first(), read_config(run.config)
    with local_copy(run.folder / LOOKS) as file:
        looks = read_looks(file) if config else []
    stages = stages_of(config, looks) if config else []
    shown_stages = stages_at_work(run, config, stages) if config else []
    mixture: dict[str, float] = run.config.get("rewards", {})
    parts = {f"reward/{name}": name for name in mixture} if len(mixture) > 1 else {}
    measured = curves(run)
    shown = [name for name in CHARTS if name in measured] or ["reward"]  # none before the first update
    charts = [
        _chart(name, CHARTS[name], [_series(name.replace("_", " "), measured.get(name))]) for name in shown
    ]
    if "reward" in shown and (held_out := held_out_series(measured, looks))["points"]:
        charts[0]["series"].append(held_out)
    if parts:
        label = "Parts of the reward, each in its own deviations"
        series = [_series(name, measured.get(key)) for key, name in parts.items()]
        charts.insert(1, _chart("parts", label, series))
    guards = guard_details(run, measured, looks, stages, tuned)
    return {
        "charts": charts,
        "mixture": mixture,
        "method": config.title if config and not shown_stages else "",
        "stages": shown_stages,
        "settings": settings_beside(shown_stages, run.config),
        "tuned": tuned,
        "guards": guards,
        "verdict": tuned.reason.removesuffix(guards["sentence"] if guards else "") if tuned else "",
        "samples": sample_details(
            run,
            best=guards["outcome"].get("best", 0) if guards else 0,
            choice=guards["choice"] if guards else "",
        ),
    }


def _series(name: str, curve: Curve | None) -> dict[str, Any]:
    return {"name": name, "points": curve or [], "smooth": True}


def _chart(name: str, label: str, series: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": f"{name}-curve", "label": label, "x": "update", "format": "0.000", "series": series}


TUNING = Kind(
    model=TuningRun,
    home="project-generators",
    heading="Generators",
    unit="Updates",
    last="judges what came out",
    results="refl/tuning_results.html",
    measured=True,
    element="sample-strip",
    details=_tuning_details,
)
SAMPLING = Kind(
    model=SamplingRun,
    home="project-generators",
    heading="Generators",
    unit="Images",
    last="chooses and hands out",
)
