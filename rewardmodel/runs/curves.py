"""The curves of a run, of any kind, as a file that a browser or a program saves."""

from __future__ import annotations

from django.http import HttpResponse

from rewardmodel.learning.curves import to_csv, to_json
from rewardmodel.models import Run

# Ending of the file -> its content type, and what writes it.
CURVE_FORMS = {"csv": ("text/csv; charset=utf-8", to_csv), "json": ("application/json", to_json)}


def curves_file(run: Run, form: str) -> HttpResponse:
    """Every curve of a run, to be saved as a file. Args: form: a key of `CURVE_FORMS`."""
    content_type, write = CURVE_FORMS[form]
    name = f"{run.kind}-{run.pk}-curves.{form}"
    points = run.points.order_by("step").values_list("step", "values")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(write(points), content_type=content_type, headers=headers)
