"""The API keeps what its schema promises, whatever is sent to it: schemathesis makes it up from the schema.

Each endpoint gets two requests from each of two people; `SCHEMA_EXAMPLES=50` sends it fifty, as before a
release.
"""

import json
import os
from collections import Counter
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from django.db import connection, transaction
from django.test import Client
from django.utils.timezone import now
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from annotation.services.checks.pauses import pause
from annotation.services.people.tokens import issue_token
from refl.models import Generator, SamplingRun, TuningRun
from rewardmodel.models import DatasetVersion, Evaluation, RewardCheckpoint, SelectionRun, TrainingRun
from tests import test_access
from tests.cast import *  # noqa: F403

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "2"))
PROMISES = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
answered, rows = test_access.answered, test_access.rows


@pytest.fixture
def ids(project, ada, bob, rita, answered, rows):
    """A row of every kind; its id by the word of a path that comes before it."""
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    dataset = DatasetVersion.objects.create(
        project=project, hash="0" * 64, folder="none", counts={}, shares=shares, answers=1, left_out=0
    )
    shipped = RewardCheckpoint.objects.create(project=project, name="shipped", folder="none")
    training = TrainingRun.objects.create(project=project, dataset=dataset, initial=shipped)
    Evaluation.objects.create(
        project=project, checkpoint=shipped, dataset=dataset, split="test", figures={"accuracy": 0.6}
    )
    generator = Generator.objects.create(project=project, name="small", pipeline="none")
    return {
        "assignments": answered.pk,
        "exports": rows["api-export"],
        "pauses": pause(annotator=bob, project=project, reason="hasty", by=rita, now=now()).pk,
        "training-runs": training.pk,
        "selections": SelectionRun.objects.create(project=project, newest_prompt=0).pk,
        "tunings": TuningRun.objects.create(project=project, generator=generator, checkpoint=shipped).pk,
        "samplings": SamplingRun.objects.create(project=project, generator=generator).pk,
    }


def send(client, case, headers):
    """Send the request through Django's test client, whose connection holds the test's rows."""
    options = case.as_transport_kwargs(base_url="http://testserver")
    names = ("method", "url", "headers", "params", "data", "json", "files", "cookies")
    request = requests.Request(**{name: options.get(name) for name in names}).prepare()
    url = urlsplit(request.url)
    kind = request.headers.pop("Content-Type", "")
    request.headers.pop("Content-Length", None)
    response = client.generic(
        request.method,
        url.path,
        request.body or b"",
        kind.decode() if isinstance(kind, bytes) else kind,
        QUERY_STRING=url.query,
        headers={**request.headers, **headers},
    )
    return Response(
        response.status_code,
        headers={name.lower(): [value] for name, value in response.items()},
        content=response.getvalue(),
        request=request,
        elapsed=0.0,
        verify=True,
    )


def make_up(operation, check):
    """Call `check` with requests that schemathesis makes up for the endpoint, and a chance from 0 to 9."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), chance=st.integers(0, 9))
    def run(case, chance):
        check(case, chance)

    run()


@pytest.mark.parametrize("role", ["admin", "annotator"])
def test_the_api_answers_as_its_schema_says(role, ada, alice, project, ids):
    person = {"admin": ada, "annotator": alice}[role]
    _, secret = issue_token(user=person, name="any", days=None, now=now())
    client, headers = Client(raise_request_exception=False), {"Authorization": f"Bearer {secret}"}
    named = {"slug": project.slug, "step": "training", "form": "csv"}
    schema = schemathesis.openapi.from_dict(
        json.loads(OpenApiJsonRenderer().render(SchemaGenerator().get_schema(request=None, public=True)))
    )
    statuses, untrue = Counter(), []

    def check(case, chance):
        if chance:  # else of a row that is made up
            words = case.operation.path.split("/")
            row = ids.get(words[words.index("{id}") - 1]) if "{id}" in words else None
            known = named | {"id": row}
            case.path_parameters = {
                name: known.get(name) or value for name, value in (case.path_parameters or {}).items()
            }
        before = transaction.savepoint()
        response = send(client, case, headers)
        connection.needs_rollback = False
        transaction.savepoint_rollback(before)
        transaction.savepoint_commit(before)  # else its locks stay
        statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=PROMISES)
        except FailureGroup as group:
            label = case.operation.label
            untrue.extend((label, response.status_code, str(broken)) for broken in group.exceptions)

    for operation in schema.get_all_operations():
        make_up(operation.ok(), check)
    print("requests:", dict(sorted(statuses.items())))
    assert untrue == []
