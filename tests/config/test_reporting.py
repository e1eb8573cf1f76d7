"""What leaves for Sentry and for collectors of traces: that something broke and where, and nobody's words."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.reporting import HookMissing, require, scrub, without_query

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPT = "a red fox in the snow"
SECRETS = (PROMPT, "hunter2", "sessionid-value", "lrl_token", "k" * 43, "anna")

# A process of its own: both libraries change what runs in it for good.
PROCESS = """
import json, sys
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x" * 60, DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF="broken", LOGGING_CONFIG=None,
    MIDDLEWARE=["config.metrics.requests.follow_requests"],
)
events = []
from config.reporting import report_errors
from sentry_sdk.transport import Transport

class Kept(Transport):
    def capture_envelope(self, envelope):
        events.append([json.loads(item.get_bytes()) for item in envelope.items])

report_errors("https://key@sentry.invalid/1", transport=Kept())
from config import tracing
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans = InMemorySpanExporter()
provider = tracing.begin(requests=True, exporter=spans)
django.setup()

import types
from django.urls import path
def view(request, key):
    prompt = request.POST["prompt"]
    raise ValueError(f"no score for {prompt}")
broken = types.ModuleType("broken")
broken.urlpatterns = [path("join/<str:key>/", view)]
sys.modules["broken"] = broken

from django.core.wsgi import get_wsgi_application
from django.test import RequestFactory
said = {"prompt": "a red fox in the snow", "password": "hunter2"}
sender = {"X-Request-ID": "of-a-proxy", "Authorization": "Bearer lrl_token"}
sender["Cookie"] = "sessionid=sessionid-value"
environ = RequestFactory().post("/join/" + "k" * 43 + "/?q=anna", said, headers=sender).environ
list(get_wsgi_application()(environ, lambda status, headers: None))
nowhere = RequestFactory().get("/nowhere/", headers={"X-Request-ID": "anna"}).environ
list(get_wsgi_application()(nowhere, lambda status, headers: None))
provider.force_flush()
traces = [json.loads(span.to_json()) for span in spans.get_finished_spans()]
print(json.dumps({"sentry": events, "traces": traces}))
"""


@pytest.fixture(scope="module")
def sent():
    pytest.importorskip("sentry_sdk")
    pytest.importorskip("opentelemetry.sdk")
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("to", ["sentry", "traces"])
def test_what_people_wrote_and_who_they_are_stays_here(sent, to):
    text = json.dumps(sent[to])
    assert [secret for secret in SECRETS if secret in text] == []


def test_an_error_is_told_by_its_type_its_place_and_its_request(sent):
    (event,) = (item for envelope in sent["sentry"] for item in envelope)
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert event["exception"]["values"][0]["stacktrace"]["frames"][-1]["function"] == "view"
    assert event["request"] == {"method": "POST", "url": "http://testserver/join/***/"}
    assert event["tags"] == {"request_id": "of-a-proxy"}


def test_a_request_is_traced_with_its_view_and_its_id(sent):
    span, unnamed = sent["traces"]
    assert span["attributes"]["http.status_code"] == 500
    assert span["attributes"]["laurel.request_id"] == "of-a-proxy"
    assert span["status"] == {"status_code": "ERROR"}
    assert span["events"] == []
    assert re.fullmatch(r"[0-9a-f]{32}", unnamed["attributes"]["laurel.request_id"])  # not what came with it


def test_messages_are_told_without_what_they_were_about():
    event = {
        "logentry": {"message": "%s waits at /join/" + "k" * 43, "params": [PROMPT], "formatted": PROMPT}
    }
    assert scrub(event, {}) == {"logentry": {"message": "%s waits at /join/***"}}
    assert without_query("https://x.org/work/?next=/join/secret#a") == "https://x.org/work/"


def test_a_hook_whose_library_is_missing_says_how_it_is_installed():
    with pytest.raises(HookMissing, match=r"SENTRY_DSN is set .* pip install '\.\[sentry\]'"):
        require("no_such_library", extra="sentry", setting="SENTRY_DSN")
