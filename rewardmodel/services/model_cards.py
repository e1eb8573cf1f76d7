"""The card of a reward model or LoRA given away: data, accuracy, what people reach, licence, method."""

from __future__ import annotations

from typing import Any

from annotation.statistics.notation import percent, percent_interval
from rewardmodel.models import DatasetVersion, RewardCheckpoint


def reward_model_card(checkpoint: RewardCheckpoint, *, licence: str) -> str:
    """Return README.md, headed by the YAML that the Hub reads. What is not known is said."""
    run = checkpoint.run
    return f"""---
license: {licence}
pipeline_tag: image-classification
tags:
- reward-model
- text-to-image
- human-preferences
---
# {checkpoint.name} of {" ".join(checkpoint.project.name.split())}

A reward model: it scores how well people would like an image for its prompt.
`rewardmodel.learning.load` reads this folder.

## Data

{_data(run.dataset) if run else "Registered from elsewhere: what it was trained on is not known here."}

## Accuracy

{_accuracy(checkpoint.metrics)}

## Method

{_method(run.config) if run else "Not known here."}

## Licence

{licence}
"""


def lora_card(*, name: str, project: str, base: str, licence: str, about: str) -> str:
    """Return README.md of a LoRA.

    Args: base: the hub id of the pipeline that it is over, "" where it is none; about: how it came about.
    """
    named = f"\nbase_model: {base}" if base else ""
    return f"""---
license: {licence}{named}
tags:
- lora
- text-to-image
- diffusers
---
# {name} of {" ".join(project.split())}

A LoRA over {f"`{base}`" if base else "a pipeline that is on no hub"}.

## Method

{about}

## Licence

{licence}
"""


def _data(dataset: DatasetVersion) -> str:
    rows = [
        f"| {split} | {counts['rankings']:,} | {counts['pairs']:,} | {counts['prompts']:,} |"
        for split, counts in dataset.splits
    ]
    head = "| split | rankings | pairs | prompts |\n|---|---|---|---|"
    return (
        f"Rankings of the project frozen as `{dataset.hash}`; no prompt is in two splits, and no person is "
        f"named in it.\n\n{head}\n" + "\n".join(rows)
    )


def _accuracy(metrics: dict[str, Any]) -> str:
    if not metrics:
        return "Not evaluated."
    low, high = metrics["interval"]
    people = metrics.get("ceiling")
    reached = "what people reach there is not known" if people is None else f"people reach {percent(people)}"
    return (
        f"{percent(metrics['accuracy'])} of {metrics['pairs']:,} test pairs of {metrics['prompts']:,} "
        f"prompts (95 % interval over prompts {percent_interval(low, high)} %); {reached}."
    )


def _method(config: dict[str, Any]) -> str:
    return f"Trained on pairs of ranked images, with these settings.\n\n{settings_table(config)}"


def settings_table(config: dict[str, Any]) -> str:
    """Return a run's settings as a table, without paths of this machine."""
    told = {name: value for name, value in config.items() if not str(value).startswith("/")}
    rows = "\n".join(f"| `{name}` | `{value}` |" for name, value in sorted(told.items()))
    return f"| setting | value |\n|---|---|\n{rows}"
