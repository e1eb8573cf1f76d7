"""What stands in a log: each line once or a few times, none that a request wrote, and no key to a door."""

import logging
import subprocess
import sys
from io import StringIO

import pytest
from django.http import HttpResponse
from django.urls import reverse
from django.utils.log import log_response

from config.lines import LineFormatter, one_line
from config.local.logs import Log
from config.local.repetition import LONGEST_REST, MOST_ALIKE, QUIET_SECONDS, Repetition


def shown(lines):
    """What is written of (seconds, line)."""
    repetition = Repetition()
    return [text for now, line in lines if (text := repetition.shown(line, now=now)) is not None]


def test_one_error_said_68_005_times_is_written_a_few_times_with_a_count():
    written = shown((n / 1000, f"12:00:{n} ERROR pid {n}: no space left") for n in range(68_005))
    assert len(written) == MOST_ALIKE + 1
    assert written[-1].endswith("(and 60,000 more like it)")


def test_a_traceback_that_comes_round_is_written_a_few_times_too():
    lines = [
        (n / 1000, line) for n in range(1000) for line in ("Traceback", f"  File {n}", "  f()", "KeyError")
    ]
    assert len(shown(lines)) == 4 * MOST_ALIKE
    assert len(shown((0.0, "  and on and on") for _ in range(1000))) == LONGEST_REST


def test_what_comes_now_and_then_is_always_written():
    assert len(shown((n * (QUIET_SECONDS + 1), "beat: starting") for n in range(50))) == 50


def test_every_request_is_written():
    assert len(shown((0.0, "GET /work/a/ 200 3147 bytes 12 ms") for _ in range(500))) == 500


def test_different_lines_are_all_written():
    names = [f"error {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(500)]
    assert shown((0.0, name) for name in names) == names


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("GET /a\nGET /b", r"GET /a\nGET /b"),
        ("\x1b[2J\r\x9b\x7f", r"\x1b[2J\r\x9b\x7f"),
        ("a\u2028b\tc é", "a\\u2028b\tc é"),
        ("Not Found: /join/" + "k" * 43 + "/", "Not Found: /join/***/"),
        ("/join/" + "k" * 43 + "?next=/", "/join/***?next=/"),
        ("GET /reset/" + "k" * 43 + "/ 200", "GET /reset/***/ 200"),
        ("/account/address/" + "k" * 43 + "/", "/account/address/***/"),
        ("Not Found: /JOIN/" + "k" * 43 + "/", "Not Found: /JOIN/***/"),
        ("Not Found: /join/ " + "k" * 43 + "/", "Not Found: /join/ ***/"),
        ("Not Found: /join//" + "k" * 43 + "/", "Not Found: /join//***/"),
        ("/projects/join/people/", "/projects/join/people/"),
        ("Not Found: /join/ [request 1f]", "Not Found: /join/ [request 1f]"),
    ],
)
def test_a_line_is_one_line_without_keys(text, line):
    assert one_line(text) == line


def test_what_follows_of_a_traceback_looks_like_no_record():
    try:
        raise ValueError("a\n2026-01-01 INFO forged")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it\nfailed", (), sys.exc_info())
    first, *rest = LineFormatter("{levelname} {message}", style="{").format(record).split("\n")
    assert first == r"ERROR it\nfailed"
    assert all(line.startswith("  ") for line in rest)


@pytest.fixture
def written(monkeypatch):
    """What the web process writes into its log."""
    [handler] = [each for each in logging.getLogger().handlers if each.name == "stderr"]
    written = StringIO()
    monkeypatch.setattr(handler, "stream", written)  # the one before may be another test's, closed by now
    return written


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/json; charset=nonsense", b"{}", "The charset 'nonsense' is not read here."),
        ("multipart/form-data", b"--x", "Invalid boundary in multipart: None"),
        ("application/x-www-form-urlencoded", b"&a=1" * 1200, "GET/POST parameters exceeded"),
        ("application/x-www-form-urlencoded", b"a=" + b"x" * 3_000_000, "Request body exceeded"),
    ],
)
def test_a_refused_request_is_one_line_that_says_why(content_type, body, reason, client, db, written):
    assert client.generic("POST", reverse("sign-in"), body, content_type=content_type).status_code == 400
    [line] = written.getvalue().splitlines()
    assert reason in line


def test_an_error_of_the_server_has_its_traceback(rf, written):
    try:
        raise ValueError("unforeseen")
    except ValueError as error:
        log_response("Error: /", response=HttpResponse(status=500), request=rf.get("/"), exception=error)
    assert "Traceback" in written.getvalue()
    assert written.getvalue().endswith("ValueError: unforeseen\n")


def test_a_file_that_cannot_be_written_is_said_once_and_the_service_is_read_on(tmp_path, capsys):
    log = Log("web", folder=tmp_path / "log", terminal=sys.stdout)
    (tmp_path / "log").rmdir()
    code = "print('\\n'.join(['no space left'] * 5000), flush=True)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    log.follow(process).join(timeout=60)
    printed = capsys.readouterr()
    assert printed.out.count("cannot be written") == MOST_ALIKE == printed.out.count("no space left")
    assert printed.err == ""


def test_a_terminal_that_has_gone_does_not_end_the_reading(tmp_path):
    terminal = (tmp_path / "terminal").open("w")
    log = Log("web", folder=tmp_path, terminal=terminal)
    terminal.close()
    log.say("still here")
    assert (tmp_path / "web.log").read_text() == "still here\n"
