"""The dataset card: README.md of an export."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass, field

from annotation.models import Project
from annotation.selectors.exports import ExportedRanking
from annotation.selectors.results.agreement import project_agreement, read_opinions
from annotation.services.exports.formats.format import Format, Plan
from annotation.statistics import notation
from annotation.statistics.estimates import Estimate, NotEnough

COMPARABLE = 10_000  # prompts; resampling more would take too much memory
IMPORTED = "imported"  # in place of the guideline's version


@dataclass
class Counts:
    """Rankings written. `pairs` counts pairs of images in different slots, `ties` those in the same slot.

    `guidelines` is the number of rankings given under each version, by its number.
    """

    rankings: int = 0
    images: int = 0
    pairs: int = 0
    ties: int = 0
    guidelines: dict[str, int] = field(default_factory=dict)

    def add(self, ranking: ExportedRanking) -> None:
        images = len(ranking.images)
        ties = sum(tied * (tied - 1) // 2 for tied in Counter(ranking.slots).values())
        self.rankings += 1
        self.images += images
        self.pairs += images * (images - 1) // 2 - ties
        self.ties += ties
        version = IMPORTED if ranking.guideline is None else str(ranking.guideline)
        self.guidelines[version] = self.guidelines.get(version, 0) + 1


def card(project: Project, format: Format, plan: Plan, counts: Counts) -> str:
    """Return README.md, headed by the YAML that tells `datasets.load_dataset` where the rows are."""
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: {format.data}
---
# {" ".join(project.name.split())}

Human preferences on generated images, in the format `{format.name}`. Only accepted answers are in it.
Slots are 1 to {project.slots}, 1 is best; equal slots tie; slots may stay empty.

{_table(("", ""), _sizes(plan, counts))}

## What was chosen

- Accepted until {plan.until}{f", after {plan.after}" if plan.after else ""}.
- Image files: {"included where the project has them" if plan.images else "left out"}.

## Guideline

{_table(("given under", "rankings"), _guidelines(counts))}

## Ratings

{_ratings(project)}

## Agreement

{_agreement(project, plan)}

## The files

{format.about}

{_left_out(format)}

Annotators have pseudonyms, the same in every export of this project.
"""


def _left_out(format: Format) -> str:
    if not format.leaves_out:
        return "Nothing that people said is left out."
    return f"Left out, because the format has no place for it: {', '.join(format.leaves_out)}."


def _sizes(plan: Plan, counts: Counts) -> dict[str, int]:
    return {
        "rankings": counts.rankings,
        "prompts": plan.prompts,
        "annotators": plan.annotators,
        "ranked images": counts.images,
        "pairs in different slots": counts.pairs,
        "pairs tied": counts.ties,
        "pairs, ties included": counts.pairs + counts.ties,
    }


def _ratings(project: Project) -> str:
    """Return the axes that images were rated on, as they were asked."""
    if not project.asks_ratings:
        return "This project asks for none; what was imported may have some."
    head = "| axis | title | question | 1 | 4 | 7 |\n|---|---|---|---|---|---|"
    rows = [f"| {' | '.join(map(_cell, astuple(axis)))} |" for axis in project.rating_axes]
    return f"Each image on each axis, from 1 to 7, 7 is best.\n\n{chr(10).join([head, *rows])}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _agreement(project: Project, plan: Plan) -> str:
    """Return how often two judges prefer the same image, as a table laid out like ImageReward's Table 2a."""
    if plan.prompts > COMPARABLE:
        return f"Not measured here: more than {COMPARABLE:,} prompts. The project's page has it."
    agreement = project_agreement(read_opinions(project), "strict")
    head = f"|  | {' | '.join(agreement.columns)} |\n|---|{'---|' * len(agreement.columns)}"
    rows = [f"| {name} | {' | '.join(map(_figure, figures))} |" for name, figures in agreement.table]
    shared = f"{agreement.shared:,}"
    return f"""Of the pairs that both judges put into different slots, per cent that they order alike, with
95 % intervals over prompts; of the whole project, which has {shared} prompts with several opinions.

{chr(10).join([head, *rows])}"""


def _figure(figure: Estimate | NotEnough | None) -> str:
    if figure is None:
        return ""
    if isinstance(figure, NotEnough):
        return f"not enough: {figure.reason}"
    value = notation.decimals(100 * figure.value, 1)
    return f"{value} ({notation.percent_interval(figure.low, figure.high)})"


def _guidelines(counts: Counts) -> dict[str, int]:
    names = {IMPORTED: "imported: not known", "0": "no guideline yet"}
    versions = sorted(counts.guidelines, key=lambda version: (version == IMPORTED, version.zfill(9)))
    return {names.get(version, f"version {version}"): counts.guidelines[version] for version in versions}


def _table(head: tuple[str, str], rows: dict[str, int]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|", *(f"| {name} | {n:,} |" for name, n in rows.items())]
    return "\n".join(lines)
