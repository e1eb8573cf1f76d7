"""What monitoring reads: who may, what of requests, work, scorers and disks, and at which cost."""

import math
import re
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from prometheus_client.parser import text_string_to_metric_families

from annotation import jobs
from annotation.models import Export
from annotation.services.assignments.assignments import LeaseLost, claim_next, save_draft
from config.metrics.folders import measure, read_folders
from config.metrics.page import may_read
from config.metrics.rows import job_kinds
from config.metrics.scorers import batch_sizes, buckets, describe
from rewardmodel.models import Run
from tests.cast import *  # noqa: F403
from tests.cast import NOW, luck

ROOT = Path(__file__).resolve().parent.parent.parent


def samples(text):
    """(name, labels) -> value of every sample."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def read(client, db):
    """Read all metrics, or one by its labels."""

    def read(name=None, **labels):
        response = client.get("/metrics", headers={"Host": "10.1.2.3:8000"})
        assert response.status_code == 200
        values = samples(response.content.decode())
        return values if name is None else values.get((name, tuple(sorted(labels.items()))), 0.0)

    return read


@pytest.mark.parametrize(
    ("headers", "settings_of", "may"),
    [
        ({}, {}, True),
        ({"REMOTE_ADDR": "203.0.113.9"}, {}, False),
        ({"REMOTE_ADDR": "203.0.113.9"}, {"METRICS_NETWORKS": [ip_network("203.0.113.0/24")]}, True),
        ({"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, {}, False),  # a proxy here that nobody told us of
        ({"HTTP_FORWARDED": "for=203.0.113.9"}, {}, False),
        ({"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, {"PROXIES": 1}, False),
        ({"HTTP_X_FORWARDED_FOR": "127.0.0.1, 203.0.113.9"}, {"PROXIES": 1}, False),  # the first is forged
        ({"HTTP_X_FORWARDED_FOR": "203.0.113.9"}, {"PROXIES": 2}, False),  # past the outermost proxy
        ({"HTTP_FORWARDED": "for=203.0.113.9"}, {"PROXIES": 1}, False),
        ({}, {"PROXIES": 1}, True),  # past all of them, as who is within asks
        ({"REMOTE_ADDR": ""}, {}, False),
        ({"REMOTE_ADDR": "203.0.113.9", "HTTP_AUTHORIZATION": "Bearer key"}, {"METRICS_TOKEN": "key"}, True),
        ({"REMOTE_ADDR": "203.0.113.9", "HTTP_AUTHORIZATION": "Bearer kéy"}, {"METRICS_TOKEN": "key"}, False),
        ({"REMOTE_ADDR": "203.0.113.9", "HTTP_AUTHORIZATION": "Bearer "}, {}, False),
    ],
)
def test_metrics_are_for_this_machine_or_for_whom_the_settings_name(settings, headers, settings_of, may):
    for name, value in settings_of.items():
        setattr(settings, name, value)
    assert may_read(RequestFactory().get("/metrics", **headers)) == may


def test_others_are_told_what_would_let_them_read(client):
    response = client.get("/metrics", REMOTE_ADDR="203.0.113.9")
    assert (response.status_code, b"METRICS_TOKEN" in response.content) == (403, True)


def test_requests_are_counted_by_view_and_class_of_status(client, read):
    def count(view, status):
        return read("laurel_request_seconds_count", view=view, status=status)

    before = count("sign-in", "2xx"), count("home", "3xx"), count("none", "4xx")
    client.get("/sign-in/"), client.get("/"), client.get("/nowhere/"), client.get("/nowhere/else/")
    assert (count("sign-in", "2xx"), count("home", "3xx"), count("none", "4xx")) == (
        *(before[0] + 1, before[1] + 1),
        before[2] + 2,
    )


def test_an_error_of_the_server_is_counted_by_its_view(client, read, monkeypatch):
    def breaks(**_):
        raise RuntimeError("broken")

    before = read("laurel_server_errors_total", view="sign-in")
    monkeypatch.setattr("annotation.views.accounts.render", breaks)
    client.raise_request_exception = False
    assert client.get("/sign-in/").status_code == 500
    assert read("laurel_server_errors_total", view="sign-in") == before + 1


def test_a_part_that_is_away_is_no_error_of_the_server(client, read, settings):
    settings.CELERY_BROKER_URL, settings.READY_FRESH_SECONDS = "redis+socket:///nowhere/valkey.sock", 0
    before = read("laurel_request_seconds_count", view="readyz", status="5xx")
    assert client.get("/readyz").status_code == 503
    assert read("laurel_request_seconds_count", view="readyz", status="5xx") == before + 1
    assert read("laurel_server_errors_total", view="readyz") == 0


def test_alerts_about_runs_leave_out_exports_and_uploads():
    (group,) = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yml").read_text())["groups"]
    exprs = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    runs = {kind for kind, model in job_kinds().items() if issubclass(model, Run)}
    for alert in ("LaurelRunWaits", "LaurelRunsFail"):
        (left_out,) = re.findall(r'kind!~"(.*?)"', exprs[alert])
        assert job_kinds().keys() - left_out.split("|") == runs


def test_a_lost_lease_is_counted(read, alice, bob, project, a_prompt):
    a_prompt()
    task = claim_next(annotator=alice, project=project, now=NOW, generator=luck())
    before = read("laurel_lease_losses_total")
    with pytest.raises(LeaseLost):
        save_draft(assignment=task, annotator=bob, answer={}, now=NOW)
    assert read("laurel_lease_losses_total") == before + 1


@pytest.fixture
def an_export(project, ada):
    def an_export(**fields):
        at = timezone.now()
        own = {"project": project, "requested_by": ada, "format": "csv", "accepted_until": at}
        return Export.objects.create(**{"created_at": at, **own, **fields})

    return an_export


def test_jobs_are_counted_by_state_with_the_age_of_what_waits_longest(read, an_export):
    at = timezone.now()
    an_export(created_at=at - timedelta(seconds=500))
    silent = an_export(created_at=at - timedelta(days=9))
    jobs.claim(silent, now=at - timedelta(hours=1))
    values = read()
    assert values["laurel_jobs", (("kind", "export"), ("state", "queued"))] == 1
    assert values["laurel_jobs", (("kind", "export"), ("state", "running"))] == 1
    assert values["laurel_jobs", (("kind", "tuningrun"), ("state", "failed"))] == 0
    assert values["laurel_oldest_job_seconds", (("kind", "export"),)] == pytest.approx(500, abs=30)
    jobs.requeue_silent(Export, now=at)
    assert read("laurel_job_losses", kind="export") == 1
    # What came back waits since its worker was last heard of, not since it was asked for.
    assert read("laurel_oldest_job_seconds", kind="export") == pytest.approx(3600, abs=30)


def test_beat_that_never_ran_is_silent_for_longer_than_any_alert_allows(read):
    PeriodicTask.objects.update(last_run_at=None)
    assert read("laurel_beat_silence_seconds") == math.inf


def test_metrics_cost_three_statements_each_with_an_end(read, django_assert_num_queries):
    with django_assert_num_queries(6) as statements:  # those, their time limit, and a savepoint's two
        read()
    assert any("statement_timeout" in one["sql"] for one in statements)


def test_a_database_that_does_not_answer_in_time_is_said_and_the_rest_is_told(read, monkeypatch):
    monkeypatch.setattr("config.metrics.rows.MILLISECONDS", 10)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("LOCK TABLE annotation_export IN ACCESS EXCLUSIVE MODE")
        values = read()
    finally:
        other.close()
    assert values["laurel_up", (("part", "database"),)] == 0
    assert values["laurel_up", (("part", "broker"),)] == 1
    assert values["laurel_messages", (("queue", "gpu"),)] >= 0


def test_a_broker_that_is_down_is_said(read, settings):
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere/valkey.sock"
    values = read()
    assert values["laurel_up", (("part", "broker"),)] == 0
    assert values["laurel_up", (("part", "database"),)] == 1


def test_folders_are_measured_beside_the_request_and_read_from_then_on(tmp_path):
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "images/a/one").write_bytes(bytes(1000))
    (tmp_path / "images/two").write_bytes(bytes(24))
    (tmp_path / "images/link").symlink_to("two")
    measure(tmp_path, tmp_path / "sizes.json")
    values = {name: value for name, _, value, *_ in (s for m in read_folders(tmp_path) for s in m.samples)}
    assert values["laurel_folder_bytes"] == 1024
    assert 0 < values["laurel_disk_free_bytes"] < values["laurel_disk_bytes"]


def test_counts_by_interval_become_cumulative_buckets():
    assert buckets((0.5, 1.0), [3, 0, 2]) == [("0.5", 3), ("1.0", 3), ("+Inf", 5)]
    cumulative, images = batch_sizes([[1, 1, 10], [2, 1, 3], [3, 2, 4], [200, 9, 1]])
    assert images == 10 + 6 + 12 + 200
    assert dict(cumulative) == {
        **{"1.0": 10, "2.0": 13},
        **dict.fromkeys(("4.0", "8.0", "16.0", "32.0", "64.0", "128.0"), 17),
        "+Inf": 18,
    }


def test_a_scorer_of_the_release_before_is_told_without_what_it_does_not_count():
    old = {"waiting": 2, "images": 5, "batches": [[5, 1, 1]]}
    told = describe({"old:8001": old, "down:8001": None})
    values = [(sample.name, sample.labels["scorer"], sample.value) for m in told for sample in m.samples]
    assert ("laurel_scorer_up", "old:8001", 1) in values
    assert ("laurel_scorer_images_waiting", "old:8001", 2) in values
    assert ("laurel_scorer_batch_images_sum", "old:8001", 5) in values
    assert [value for name, scorer, value in values if scorer == "down:8001"] == [0]
    assert not [name for name, *_ in values if name.startswith("laurel_scorer_seconds")]


def documented_metrics(section):
    """The metrics in the table of a section of the page."""
    _, _, page = (ROOT / "docs/monitoring.md").read_text().partition(f"\n## {section}\n")
    rows = re.findall(r"^\| (`laurel_[^|]*) \|", page.partition("\n## ")[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_each_metric_is_documented_and_dashboard_and_alerts_ask_for_no_other(read):
    told = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in read()}
    told = {name for name in told if name.startswith("laurel_") and not name.endswith("_created")}
    # What is there only once a scorer answered, a request was refused or failed, or folders were measured.
    told |= {"laurel_scorer_seconds", "laurel_scorer_batch_images", "laurel_scorer_refused_total"}
    told |= {"laurel_scorer_images_waiting", "laurel_refused_requests_total", "laurel_folder_bytes"}
    told |= {"laurel_server_errors_total"}
    assert documented_metrics("Metrics") == told
    documented = told | documented_metrics("Metrics of workers")
    for file in ("grafana.json", "alerts.yml"):
        asked = re.findall(r"\blaurel_[a-z_]+", (ROOT / "deploy/monitoring" / file).read_text())
        assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked} <= documented, file
