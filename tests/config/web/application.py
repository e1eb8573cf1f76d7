"""Laurel, and beside it a few addresses that read and send as its own pages and downloads do."""

import hashlib
import os
import time
from pathlib import Path

from config.wsgi import application as laurel

CONTENT = os.urandom(1 << 16) * 128  # 8 MB: more than the system keeps for a client that does not read
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FOLDER = Path(os.environ["TEST_FOLDER"])
FILE = FOLDER / "content"
FILE.write_bytes(CONTENT)


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path not in ANSWERS:
        return laurel(environ, start_response)
    return ANSWERS[path](environ, start_response)


def echo(environ, start_response):
    """The digest of what was sent."""
    body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def file(environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(CONTENT))), ("ETag", DIGEST)])
    return environ["wsgi.file_wrapper"](FILE.open("rb"))


def stream(environ, start_response):
    start_response("200 OK", [("ETag", DIGEST)])
    return (CONTENT[start : start + 100_000] for start in range(0, len(CONTENT), 100_000))


def broken(environ, start_response):
    start_response("200 OK", [("Content-Length", "2000000")])
    yield b"x" * 1_000_000
    raise ValueError("half-way")


def slow(environ, start_response):
    """Say by a file of the name asked for that it has begun; end when that is gone."""
    begun = FOLDER / environ["QUERY_STRING"]
    begun.touch()
    while begun.exists():
        time.sleep(0.01)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"done"]


ANSWERS = {"/echo": echo, "/file": file, "/stream": stream, "/broken": broken, "/slow": slow}
