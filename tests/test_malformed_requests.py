"""Odd requests of every kind, to every address, of every role: none ends in an error of the server.

Each address gets one of them, of some role, in turn; `ODD_REQUESTS=50` sends it fifty, as before a release.
"""

import os
import re
from collections import Counter
from itertools import cycle
from urllib.parse import quote, unquote_to_bytes

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from annotation.models import User
from tests import test_access
from tests.cast import *  # noqa: F403
from tests.oddities import (
    ADMIN_QUERIES,
    BODIES,
    FORM,
    HEADERS,
    HUGE,
    IDS,
    JSON,
    PATHS,
    QUERIES,
    TEXTS,
    VALUES,
)

EACH = int(os.environ.get("ODD_REQUESTS", "1"))
ROLES = ("admin", "annotator", "inspector", "researcher", "superuser", "nobody")
PLAIN = ("home", "sign-in", "account", "change-password", "projects", "new-project", "inspection-queue")
PLAIN += ("add-token", "models", "generators", "api-projects", "api-scores", "schema")
answered, rows = test_access.answered, test_access.rows


class Sender:
    """Sends requests as people of every role; whatever one does is undone before the next."""

    def __init__(self, people):
        self.clients = {role: Client(raise_request_exception=False) for role in ROLES}
        for role, person in people.items():
            self.clients[role].force_login(person)
        self.statuses, self.failures = Counter(), []

    def send(self, role, method, path, **options):
        before = transaction.savepoint()
        response = self.clients[role].generic(method, path, **options)
        if response.streaming:
            b"".join(response.streaming_content)
        connection.needs_rollback = False
        transaction.savepoint_rollback(before)
        transaction.savepoint_commit(before)  # else its locks stay
        self.statuses[response.status_code] += 1
        if response.status_code >= 500:
            sent = {name: value[:200] for name, value in options.items()}
            self.failures.append((repr(response.exc_info and response.exc_info[1]), role, method, path, sent))


@pytest.fixture
def sender(ada, alice, rita, rosa, project):
    root = User.objects.create_user("root", is_superuser=True, is_staff=True)
    people = {"admin": ada, "annotator": alice, "inspector": rita, "researcher": rosa, "superuser": root}
    sender = Sender(people)
    yield sender
    print("requests:", dict(sorted(sender.statuses.items())))
    assert sender.failures == []


@pytest.fixture
def places(project, answered, rows):
    """The path of every page and endpoint."""
    paths = {
        test_access.named(name, arguments, project, answered, rows)
        for name, arguments in test_access.addresses()
    }
    return sorted(paths | {reverse(name) for name in PLAIN})


def some(places, oddities):
    """Every place EACH times, with an odd thing and a role in turn."""
    turns, roles = cycle(oddities), cycle(ROLES)
    return ((place, next(turns), next(roles)) for place in places for _ in range(EACH))


def test_bodies_that_cannot_be_read(sender, places):
    for path, (kind, body), role in some(places, BODIES):
        sender.send(role, "POST", path, data=body, content_type=kind)


def test_bodies_that_cannot_be_read_of_a_browser_with_a_csrf_cookie(db):
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    browser.get(reverse("sign-in"))
    for kind, body in BODIES:
        response = browser.generic("POST", reverse("sign-in"), body, content_type=kind)
        assert response.status_code < 500, kind


def test_queries_that_no_link_has(sender, places):
    for path, query, role in some(places, QUERIES):
        sender.send(role, "GET", path, QUERY_STRING=query)


def test_headers_that_no_browser_sends(sender, places):
    methods = cycle(("GET", "POST", "GET", "HEAD", "PUT"))
    for path, headers, role in some(places, HEADERS):
        sender.send(role, next(methods), path, **headers)


def test_values_that_no_form_lets_in(sender, places):
    pages = [path for path in places if not path.startswith("/api/")]
    names = {"draft", "version", "ready", "claim"}
    for path in pages:
        response = sender.clients["admin"].get(path)
        if not response.streaming:
            names |= set(re.findall(r' name="([\w-]+)"', response.text))
    for path, text, role in some(pages, TEXTS):
        value = quote(text.encode("utf-8", "surrogatepass"))
        body = "&".join(f"{name}={value}" for name in sorted(names))
        sender.send(role, "POST", path, data=body, content_type=FORM)


def properties(schema, components):
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    return set(schema.get("properties", {}))


def test_values_that_no_program_should_send(sender, project, answered):
    schema = SchemaGenerator().get_schema(request=None, public=True)
    given = {"slug": project.slug, "pk": answered.pk, "id": answered.pk, "step": "training", "form": "csv"}
    fields = []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name in properties(content["schema"], schema["components"]["schemas"]):
                    fields.append((method.upper(), path.format(**given), name))
    assert len(fields) > 100
    for (method, path, name), value, role in some(sorted(fields), VALUES):
        sender.send(role, method, path, data=f'{{"{name}": {value}}}', content_type=JSON)


def test_addresses_of_rows_that_cannot_be(sender, places):
    methods = cycle(("GET", "POST", "GET"))
    numbered = [path for path in places if re.search(r"/\d+/", path)]
    for path, one, role in some(numbered, IDS):
        sender.send(role, next(methods), re.sub(r"/\d+/", f"/{one}/", path))
    for path in PATHS:
        sender.send("nobody", "GET", "/", PATH_INFO=unquote_to_bytes(f"/{path}").decode("latin-1"))


def test_lists_of_the_admin_asked_for_rows_that_cannot_be(sender):
    lists = [
        f"/admin/{model._meta.app_label}/{model._meta.model_name}/{end}"
        for model in admin.site._registry
        for end in ("", f"{HUGE}/change/", "_00/change/", "_FF/change/")
    ]
    for path, query, _ in some(lists, ADMIN_QUERIES):
        sender.send("superuser", "GET", path, QUERY_STRING=query)
