"""The web server: a client that sends or reads slowly holds up nobody; no body is read that is too long."""

import hashlib
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from tests.annotation.test_hanging import suspended
from tests.config.conftest import a_folder
from tests.config.test_supervisor import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent.parent
THREADS = 2
ROOM = 350  # connections
PATIENCE = 60


class Server:
    """gunicorn with one worker of two threads, as `config.web.options` sets it up."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.output = (folder / "output").open("a+")
        command = [
            *(sys.executable, "-m", "gunicorn", "tests.config.web.application"),
            *("--config", "python:config.web.options", "--bind", f"127.0.0.1:{self.port}"),
            *("--workers", "1", "--threads", str(THREADS), "--worker-connections", str(ROOM)),
        ]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "TEST_FOLDER": str(folder)},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        wait_until(self.answers, PATIENCE)

    def answers(self):
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def connect(self):
        return closing(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def get(self, path):
        """The status and body of a page."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.output.close()


@pytest.fixture(scope="module")
def server():
    with a_folder() as folder:
        server = Server(folder)
        yield server
        for process in psutil.Process(server.process.pid).children():
            process.kill()
        server.end()


def everything(client):
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: client.recv(1 << 16), b""))


def head(path="/echo", *lines, method="POST"):
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("count", "beginning"),
    [
        (300, b""),
        (300, b"GET / HTTP/1.1\r\nX-"),
        (300, head("/sign-in/", "Content-Length: 1000") + b"x"),
        (300, head("/healthz", "Connection: close", method="GET")),
        (30, head("/file", method="GET")),
    ],
    ids=["nothing", "half a head", "a body that does not come", "no end of its own", "a file not read"],
)
def test_clients_that_stop_half_way_hold_up_nobody(server, count, beginning):
    with ExitStack() as open_connections:
        for _ in range(count):
            client = open_connections.enter_context(server.connect())
            client.sendall(beginning)
        begun = time.monotonic()
        assert server.get("/sign-in/")[0] == 200
        assert time.monotonic() - begun < 8  # alone 10 ms; machines that test are busy


def test_where_there_is_no_room_the_client_that_waited_longest_goes(server):
    with ExitStack() as open_connections:
        clients = [open_connections.enter_context(server.connect()) for _ in range(ROOM + 20)]
        assert server.get("/healthz")[0] == 200
        assert clients[0].recv(1) == b""


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Length: 300000000", "Content-Type: multipart/form-data; boundary=x"], 413),
        (["Content-Length: 3000000", "Expect: 100-continue"], 413),
        (["Content-Length: 1", "Content-Length: 2"], 400),
        (["X: " + "x" * 70_000], 431),
    ],
)
def test_a_body_too_long_is_refused_before_it_is_sent(server, lines, status):
    with server.connect() as client:
        client.sendall(head("/sign-in/", *lines))
        assert everything(client).split()[1] == str(status).encode()


def test_a_body_of_no_known_length_is_refused_where_it_gets_too_long(server):
    with server.connect() as client:
        client.sendall(head("/echo", "Transfer-Encoding: chunked"))
        client.sendall(b"2d0000\r\n" + bytes(0x2D0000) + b"\r\n")
        assert everything(client).startswith(b"HTTP/1.1 413 ")


def test_whoever_sends_on_is_still_answered(server):
    with server.connect() as client:
        client.sendall(head("/sign-in/", "Content-Length: 30000000") + bytes(30_000_000))
        assert everything(client).startswith(b"HTTP/1.1 413 ")


def test_a_file_for_a_page_that_takes_files_is_refused_unread_from_a_stranger(server):
    with server.connect() as client:
        client.sendall(head("/projects/new/", "Content-Length: 300000000", "Cookie: sessionid=none"))
        assert everything(client).startswith(b"HTTP/1.1 401 ")


def test_what_follows_a_refused_request_is_not_looked_at(server):
    refused = head("/projects/new/", "Content-Length: 300000000", "Authorization: Bearer none")
    with server.connect() as client:
        client.sendall(refused * 500)
        assert everything(client).count(b"HTTP/1.1 ") == 1


def test_a_body_that_comes_in_pieces_arrives_whole(server):
    body = os.urandom(300_000)
    with server.connect() as client:
        client.sendall(
            head("/echo", f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
        )
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for start in range(0, len(body), 50_000):
            client.sendall(body[start : start + 50_000])
        assert everything(client).endswith(hashlib.sha256(body).hexdigest().encode())


def test_requests_sent_at_once_are_answered_in_their_order(server):
    first = head("/echo", "Content-Length: 1") + b"a"
    with server.connect() as client:
        client.sendall(first + head("/echo", "Content-Length: 1", "Connection: close") + b"b")
        answers = everything(client)
    a, b = (answers.index(hashlib.sha256(body).hexdigest().encode()) for body in (b"a", b"b"))
    assert a < b


@pytest.mark.parametrize("path", ["/file", "/stream"])
def test_what_is_long_and_read_late_arrives_whole(server, path):
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        assert server.get("/healthz")[0] == 200
        response = connection.getresponse()
        assert hashlib.sha256(response.read()).hexdigest() == response.headers["ETag"]


def test_a_response_that_fails_half_way_looks_like_no_whole_one(server):
    with pytest.raises(http.client.IncompleteRead):
        server.get("/broken")


def test_a_probe_is_answered_while_all_threads_for_pages_wait(server):
    with ExitStack() as open_connections:
        for number in range(THREADS):
            client = open_connections.enter_context(server.connect())
            client.sendall(head(f"/slow?{number}", method="GET"))
            wait_until((server.folder / str(number)).exists, PATIENCE)
        assert server.get("/healthz")[0] == 200
        for number in range(THREADS):
            (server.folder / str(number)).unlink()


def test_a_process_says_that_it_lives_while_many_ask_whether_it_is_ready_and_that_hangs(server):
    with suspended("valkey"), ExitStack() as open_connections:
        asking = [open_connections.enter_context(server.connect()) for _ in range(50)]
        for client in asking:
            client.sendall(head("/readyz", "Connection: close", method="GET"))
        assert server.get("/healthz")[0] == 200
        assert select.select(asking, [], [], 0)[0] == []
        for client in asking:  # by one look and another: each waits for the broker as long as it may
            assert everything(client).startswith(b"HTTP/1.1 503")


def test_the_log_of_requests_has_a_line_for_each_and_no_secret(server):
    server.get("/join/a-secret-of-an-invitation/")
    server.get("/nothing%0aGET%20/forged%1b[2J")
    lines = wait_until(lambda: [line for line in server.said().splitlines() if "forged" in line])
    assert all("/nothing\\nGET /forged\\x1b[2J" in line for line in lines)
    assert "a-secret-of-an-invitation" not in server.said()


def test_what_is_under_way_is_answered_by_a_worker_that_was_told_to_stop(server):
    (old,) = psutil.Process(server.process.pid).children()
    with server.connect() as client:
        client.sendall(head("/slow?last", method="GET"))
        wait_until((server.folder / "last").exists, PATIENCE)
        old.send_signal(signal.SIGTERM)
        (server.folder / "last").unlink()
        assert everything(client).endswith(b"done")
    old.wait(timeout=PATIENCE)


def test_requests_are_named_in_the_log_and_counted_also_those_that_no_view_sees(server):
    with server.connect() as client:
        client.sendall(head("/sign-in/", "X-Request-ID: of-a-proxy", "Connection: close", method="GET"))
        assert b"X-Request-Id: of-a-proxy\r\n" in everything(client)
    with server.connect() as client:
        client.sendall(head("/sign-in/", "Content-Length: 3000000"))
        everything(client)
    wait_until(lambda: re.search(r"GET /sign-in/ 200 .* \[request of-a-proxy\]", server.said()), PATIENCE)
    status, text = server.get("/metrics")
    assert status == 200
    assert re.search(rb'laurel_request_seconds_count\{status="2xx",view="sign-in"\} [1-9]', text)
    assert re.search(rb'laurel_refused_requests_total\{status="413"\} [1-9]', text)
