"""Pages about the accuracy of reward models: a table of all, the plots of one, and runs that admins start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotation.access import Do, MemberRequest, admin_required, may, researcher_required
from annotation.charts import Whisker, whisker
from annotation.downloads import csv_response
from annotation.models import Project
from annotation.selectors.projects.images import pictures_by_file
from annotation.statistics.estimates import ENOUGH_PROMPTS, Estimate
from annotation.waking import say_if_late
from rewardmodel.forms import EvaluationForm
from rewardmodel.models import Evaluation, EvaluationRun
from rewardmodel.runs.views import Kind
from rewardmodel.runs.waking import wake
from rewardmodel.selectors import EvaluationTable, evaluation_table, list_evaluations
from rewardmodel.services.evaluations import CannotEvaluate, queue_evaluation

TABLE, ONE = "rewardmodel/evaluations.html", "rewardmodel/evaluation.html"
RUNS = "rewardmodel/runs.html#runs"
LISTED = 20  # newest runs on the page
HALF = 0.5  # accuracy of a model that knows nothing

Row = dict[str, Any]

COLUMNS = (
    *("model", "is_baseline", "is_promoted", "dataset", "split", "prompts", "pairs"),
    *("accuracy", "accuracy_low", "accuracy_high", "accuracy_by_prompt", "people"),
    *("compared_with", "lead", "lead_low", "lead_high", "measured_at"),
)


@require_safe
@researcher_required
def evaluations(request: MemberRequest, project: Project) -> HttpResponse:
    if request.htmx:
        return render(request, RUNS, _runs(project))
    return render(request, TABLE, _table(request, project, EvaluationForm(project)))


@require_safe
@researcher_required
def evaluations_table(request: MemberRequest, project: Project) -> HttpResponseBase:
    """The table as CSV, a line for each model on each dataset; shares and leads are 0 to 1."""
    table = evaluation_table(project, beside=request.GET.get("beside", ""))
    return csv_response(_lines(table), name=f"reward-models-{project.slug}.csv")


@require_POST
@admin_required
def evaluate_now(request: MemberRequest, project: Project) -> HttpResponse:
    form = EvaluationForm(project, request.POST)
    if form.is_valid():
        try:
            run = queue_evaluation(project=project, by=request.user, **form.cleaned_data)
        except CannotEvaluate as error:
            form.add_error(None, str(error))
        else:
            say_if_late(request, wake(run))
            return redirect(run.page, project.slug, run.pk)
    return render(request, TABLE, _table(request, project, form), status=422)


@require_safe
@researcher_required
def evaluation(request: MemberRequest, project: Project, pk: int) -> HttpResponse:
    row = get_object_or_404(
        Evaluation.objects.select_related("checkpoint", "dataset"), pk=pk, project=project
    )
    is_admin = may(request.user, Do.ADMINISTER, project)
    context = {"project": project, "tab": "evaluations", "is_admin": is_admin, **_plots(row)}
    return render(request, ONE, {**context, "examples": _examples(row)})


def _table(request: MemberRequest, project: Project, form: EvaluationForm) -> Row:
    table = evaluation_table(project, beside=request.GET.get("beside", ""))
    return {
        **_runs(project),
        "tab": "evaluations",
        "table": table,
        "whiskers": _whiskers(table),
        "form": form,
        "is_admin": may(request.user, Do.ADMINISTER, project),
    }


def _runs(project: Project) -> Row:
    runs = EvaluationRun.objects.filter(project=project)[:LISTED]
    return {
        "project": project,
        "kind": EVALUATION,
        "runs": runs,
        "is_active": any(not run.is_over for run in runs),
    }


def _lines(table: EvaluationTable) -> Iterator[tuple[object, ...]]:
    yield COLUMNS
    for row in table.rows:
        for cell in filter(None, row.cells):
            evaluation, lead = cell.evaluation, cell.lead
            figures, ceiling = evaluation.figures, evaluation.ceiling
            accuracy, rival = figures["accuracy"], table.beside.name if table.beside and lead else ""
            gain = (lead.value, lead.low, lead.high) if isinstance(lead, Estimate) else ("", "", "")
            yield (
                *(row.name, row.is_baseline, row.is_promoted, evaluation.dataset.hash, evaluation.split),
                *(accuracy["prompts"], accuracy["count"]),
                *(accuracy["value"], accuracy["low"], accuracy["high"]),
                *(figures["accuracy_by_prompt"]["value"], "" if ceiling is None else ceiling),
                *(rival, *gain, evaluation.measured_at.isoformat()),
            )


def _whiskers(table: EvaluationTable) -> dict[int, Whisker]:
    """Return each evaluation's interval and people's own accuracy, by id, on one axis for the whole table."""
    cells = [
        {**cell.evaluation.figures["accuracy"], "pk": cell.evaluation.pk, "mark": column.ceiling}
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell
    ]
    for figure in cells:
        if figure["mark"] is None:
            figure["mark"] = figure["value"]  # hidden by the figure's own mark
    return {figure["pk"]: figure["whisker"] for figure in _on_one_axis(cells) if "whisker" in figure}


def _plots(evaluation: Evaluation) -> Row:
    figures = evaluation.figures
    mean = figures["accuracy"]["value"]
    groups = [
        ("By category", "Category", _rows_by_name(figures["by_category"], mean)),
        ("By agreement of people", "People agree on", _rows_by_name(figures["by_agreement"], mean)),
        ("By images of a ranking", "Images", _rows_by_number(figures["by_images"], mean)),
        ("By slots between the two", "Slots", _rows_by_number(figures["by_gap"], mean)),
    ]
    return {
        "evaluation": evaluation,
        "figures": figures,
        "found": [
            (title, _against_chance(figures[name]))
            for name, title in (("recall", "Recall"), ("filter", "Filter"))
        ],
        "columns": _side_by_side([_group(*group) for group in groups if group[-1]]),
        "enough": ENOUGH_PROMPTS,
        "calibration": figures["calibration"],
        "reliability": _reliability(figures["calibration"]),
        "margins": _margins(figures["by_margin"], figures["calibration"]),
        "picks": _picks(figures["best_of_n"]),
        "generators": _box_plots(figures["generators"]),
    }


def _examples(evaluation: Evaluation) -> list[tuple[str, str, str, list[Row]]]:
    """Return title, captions of the two images, and pairs; nothing of figures that are older than these."""
    kinds = evaluation.figures.get("examples") or {"right": [], "wrong": []}
    every = [*kinds["right"], *kinds["wrong"]]
    hashes = {pair[name] for pair in every for name in ("preferred", "other")}
    pictures = pictures_by_file(evaluation.project, hashes) if hashes else {}

    def image(pair: Row, name: str, reward: float, standing: str) -> Row:
        picture = pictures.get((pair["prompt"], pair[name]))
        unknown = {"percentile": None, "preferred": None}  # figures from before standings were kept
        return {"picture": picture, "score": reward, **pair.get(standing, unknown)}

    def rows(pairs: Sequence[Row]) -> list[Row]:
        return [
            {
                **pair,
                "preferred": image(pair, "preferred", pair["reward"], "standing"),
                "other": image(pair, "other", pair["other_reward"], "other_standing"),
            }
            for pair in pairs
        ]

    groups = [
        ("Most confident, and right", "Preferred by both", "The other", rows(kinds["right"])),
        ("Most confident, and wrong", "People's", "The model's", rows(kinds["wrong"])),
    ]
    return [group for group in groups if group[-1]]


def _group(title: str, of: str, rows: list[Row]) -> Row:
    return {"title": title, "of": of, "rows": rows, "has_few": not all("whisker" in row for row in rows)}


def _side_by_side(groups: Sequence[Row]) -> list[list[Row]]:
    """Divide the groups into two columns; each goes to the column with fewer rows."""
    columns: list[list[Row]] = [[], []]
    for group in groups:
        min(columns, key=lambda column: sum(len(placed["rows"]) for placed in column)).append(group)
    return columns


def _rows_by_name(rows: Sequence[Row], mark: float) -> list[Row]:
    return _on_one_axis([{**row, "mark": mark} for row in rows])


def _rows_by_number(rows: Sequence[Row], mark: float) -> list[Row]:
    return _on_one_axis([{**row, "name": row["number"], "mark": mark} for row in rows])


def _against_chance(rows: Sequence[Row]) -> list[Row]:
    return _on_one_axis([{**row, "name": f"@{row['k']}", "mark": row["chance"]} for row in rows])


def _on_one_axis(rows: list[Row]) -> list[Row]:
    """Give each row with enough prompts a whisker; all share one axis, from the lowest to the highest end."""
    sure = [row for row in rows if row["prompts"] >= ENOUGH_PROMPTS]
    if not sure:
        return rows
    axis = (
        float(min(min(row["low"], row["mark"]) for row in sure)),
        float(max(max(row["high"], row["mark"]) for row in sure)),
    )
    for row in sure:
        row["whisker"] = whisker(row["low"], row["value"], row["high"], mark=row["mark"], axis=axis)
    return rows


def _reliability(calibrations: Sequence[Row]) -> Row:
    series: list[Row] = [
        {
            "name": _temperature_label(calibration),
            "points": [[group["confidence"], group["accuracy"]] for group in calibration["bins"]],
        }
        for calibration in calibrations
    ]
    series.append({"name": "as right as sure", "points": [[HALF, HALF], [1, 1]]})
    label = "Share right, by the model's confidence"
    return _chart("reliability", label, "confidence", series, "%", ends=["50 %", "confidence 100 %"])


def _temperature_label(calibration: Row) -> str:
    temperature = calibration["temperature"]
    return "as trained" if temperature == 1 else f"at temperature {temperature:.2f}"


def _margins(rows: Sequence[Row], calibrations: Sequence[Row]) -> Row:
    fitted = calibrations[-1]
    promised = [
        [row["distance"], 1 / (1 + math.exp(-row["distance"] / fitted["temperature"]))] for row in rows
    ]
    series = [
        {"name": "share right", "points": [[row["distance"], row["value"]] for row in rows]},
        {"name": f"promised, {_temperature_label(fitted)}", "points": promised},
    ]
    ends = ["alike", f"{rows[-1]['distance']:.2f} apart"]
    return _chart("margins", "Share right, by the distance of the two rewards", "distance", series, "%", ends)


def _picks(rows: Sequence[Row]) -> Row:
    series = [
        {"name": "the model's pick", "points": [[row["n"], row["model"]["value"]] for row in rows]},
        {"name": "people's own", "points": [[row["n"], row["people"]] for row in rows]},
        {"name": "blind", "points": [[row["n"], row["chance"]] for row in rows]},
    ]
    ends = ["1 image", f"best of {rows[-1]['n']}"] if rows else None
    return _chart("best-of-n", "Mean slot of the picked image; 1 is best", "n", series, "0.00", ends)


def _chart(
    id: str, label: str, x: str, series: Sequence[Row], numbers: str, ends: Sequence[str] | None
) -> Row:
    return {"id": id, "label": label, "x": x, "series": series, "format": numbers, "ends": ends}


def _box_plots(ranking: Row | None) -> Row | None:
    """Return the generators with their boxes scaled to 0..100 along the axis."""
    if ranking is None:
        return None
    names = ("lowest", "low", "middle", "high", "highest")
    rows = [
        {**row, "box": dict(zip(names, (round(100 * mark, 1) for mark in row["box"]), strict=True))}
        for row in ranking["generators"]
    ]
    for row in rows:
        row["box"]["width"] = round(row["box"]["high"] - row["box"]["low"], 1)
    return {**ranking, "generators": rows}


def _run_details(run: EvaluationRun) -> Row:
    return {"made": list_evaluations(run)}


EVALUATION = Kind(
    model=EvaluationRun,
    home="evaluations",
    heading="Evaluations",
    unit="Models on datasets",
    last="writes down what it found",
    results="rewardmodel/evaluation_results.html",
    details=_run_details,
)
