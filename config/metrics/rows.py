"""What the database tells of work that waits: three statements, each ended after a second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.apps import apps
from django.db import connection, transaction
from django.db.models import CharField, Count, Max, Min, Q, Sum, Value
from django.db.models.functions import Coalesce, Greatest
from django_celery_beat.models import PeriodicTask
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from annotation.models import Delivery, Job

MILLISECONDS = 1000  # of one statement; a database that takes longer has other worries


def read_rows(*, now: datetime) -> Iterator[Metric]:
    """Return the jobs of each kind by state, deliveries that are due, and how long beat has been silent.

    Raises: django.db.DatabaseError when the database does not answer in time.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {MILLISECONDS}")
        jobs = _count_jobs()
        due = Delivery.objects.due(now=now).order_by().aggregate(count=Count("pk"), since=Min("not_before"))
        beat = PeriodicTask.objects.filter(enabled=True).aggregate(last=Max("last_run_at"))["last"]
    by_state = GaugeMetricFamily("laurel_jobs", "Jobs by kind and state", labels=["kind", "state"])
    age = GaugeMetricFamily(
        "laurel_oldest_job_seconds", "Seconds that the oldest job in the queue has waited", labels=["kind"]
    )
    losses = GaugeMetricFamily(
        "laurel_job_losses", "Times that a job was taken from a silent worker", labels=["kind"]
    )
    for kind in job_kinds():
        states = jobs.get(kind, {})
        for state in Job.State.values:
            by_state.add_metric([kind, state], states[state][0] if state in states else 0)
        waits_since = states["queued"][2] if "queued" in states else now
        age.add_metric([kind], max(0.0, (now - waits_since).total_seconds()))
        losses.add_metric([kind], sum(row[1] for row in states.values()))
    yield from (by_state, age, losses)
    yield GaugeMetricFamily("laurel_deliveries_due", "Webhook deliveries to send now", value=due["count"])
    waited = (now - due["since"]).total_seconds() if due["since"] else 0.0
    yield GaugeMetricFamily(
        "laurel_oldest_delivery_seconds", "Seconds that the oldest of them is due", value=waited
    )
    silence = (now - beat).total_seconds() if beat else float("inf")
    yield GaugeMetricFamily(
        "laurel_beat_silence_seconds",
        "Seconds since beat noted a start, which it does every few minutes; infinite where it never did",
        value=silence,
    )


def job_kinds() -> dict[str, type[Job]]:
    """Return every kind of durable work by its name."""
    return {str(model._meta.model_name): model for model in apps.get_models() if issubclass(model, Job)}


def _count_jobs() -> dict[str, dict[str, tuple[int, int, datetime]]]:
    """Return, by kind and state, how many there are, how often they were lost, and since when one waits."""
    first, *rest = (
        model._default_manager.order_by()
        .annotate(job=Value(kind, output_field=CharField()))
        .values_list("job", "state")
        .annotate(
            count=Count("pk"),
            lost=Sum("losses"),
            since=Min(Greatest("created_at", Coalesce("heartbeat", "created_at")), filter=Q(state="queued")),
        )
        for kind, model in job_kinds().items()
    )
    counts: dict[str, dict[str, tuple[int, int, datetime]]] = {}
    for kind, state, *row in first.union(*rest, all=True):
        counts.setdefault(kind, {})[state] = (row[0], row[1], row[2])
    return counts
