"""How long a body may be, by where it is sent, and whose long ones are read at all."""

import pytest
from django.conf import settings
from django.test import RequestFactory
from django.utils.timezone import now
from waitress.adjustments import Adjustments

from annotation.models import User
from annotation.services.people.tokens import issue_token
from config.web.bodies import longest_body, sender_is_known, usual_length
from config.web.channels import Parser


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("/projects/new/", 512 * 2**20),
        ("/projects/a-project/prompts/add/", 512 * 2**20),
        ("/projects/a-project/try/", settings.SCORES_MAX_BYTES),
        ("/api/v1/scores", settings.SCORES_MAX_BYTES),
        ("/api/v1/projects/a-project/images/", settings.IMAGE_MAX_BYTES),
    ],
)
def test_files_go_where_files_are_taken(path, files):
    assert files < longest_body(path) < files + 2_000_000


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/work/a-project/", "/admin/", "/nowhere/", "/api/v1/projects/"]
)
def test_elsewhere_a_body_is_as_long_as_a_form(path):
    assert longest_body(path) == usual_length() == 2_621_440


def test_whoever_has_signed_in_or_has_a_token_is_known(client, db):
    ada = User.objects.create_user("ada")
    _, secret = issue_token(user=ada, name="uploads", days=1, now=now())
    client.force_login(ada)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    assert sender_is_known(a_request(HTTP_COOKIE=cookie))
    assert sender_is_known(a_request(HTTP_AUTHORIZATION=f"Bearer {secret}"))

    client.logout()
    assert not sender_is_known(a_request(HTTP_COOKIE=cookie))
    for header in ("Bearer none", "Bearer", f"Basic {secret}"):
        assert not sender_is_known(a_request(HTTP_AUTHORIZATION=header))
    assert not sender_is_known(a_request())


def a_request(**headers):
    return RequestFactory().post("/projects/new/", **headers).environ


@pytest.mark.parametrize(
    ("sent", "seconds", "is_overdue"),
    [
        (b"GET /", 19, False),
        (b"GET /", 21, True),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", 19, False),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n", 21, True),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(10_000), 30, False),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(10_000), 60, True),
    ],
)
def test_a_byte_now_and_then_holds_no_connection(sent, seconds, is_overdue):
    parser = Parser(Adjustments())
    while sent:
        sent = sent[parser.received(sent) :]
    parser.begun -= seconds
    assert parser.is_overdue == is_overdue
