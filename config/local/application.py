"""Laurel's own processes: the web server, the two workers, the scorer and beat."""

from __future__ import annotations

import http.client
import socket
import sys

from config.local.supervisor import Service, ServiceFailed

HOST = "127.0.0.1"  # bin/run makes passwords of its own: it never listens to the network
_CELERY = (sys.executable, "-m", "celery", "--quiet", "-A", "config.celery")


def check_port(port: int) -> None:
    """Raises: ServiceFailed when another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServiceFailed(f"port {port} is taken ({error.strerror}): set LAUREL_PORT") from None


def web(port: int) -> Service:
    """Return gunicorn with two processes. Nothing is preloaded: an error in code ends one worker only."""

    def answers() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return Service(
        name="web",
        command=(
            *(sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"{HOST}:{port}"),
            *("--config", "python:config.web.options"),
        ),
        ready=answers,
    )


def default_worker() -> Service:
    """Return the worker for short tasks. Most only check for work, which INFO would log each time."""
    return _worker("default", "--concurrency", "2", "--loglevel", "WARNING")


def gpu_worker() -> Service:
    """Return the worker for runs, one at a time: its task waits for the subprocess of the run."""
    return _worker("gpu", "--pool", "solo", "--loglevel", "INFO")


def scorer() -> Service:
    """Return the server of scores for the API; it imports torch at the first request.

    It has a lower priority than pages, which annotators wait for, and its waiting threads use no CPU.
    """
    return Service(
        name="scorer",
        command=(sys.executable, "manage.py", "serve_scores", "--nice", "10"),
        environment={"OMP_WAIT_POLICY": "PASSIVE"},
    )


def beat() -> Service:
    return Service(name="beat", command=(*_CELERY, "beat", "--loglevel", "WARNING"))


def _worker(queue: str, *options: str) -> Service:
    # Without gossip and mingle, which serve no purpose here, workers start a second sooner.
    alone = ("--without-gossip", "--without-mingle")
    command = (*_CELERY, "worker", "--queues", queue, "--hostname", f"{queue}@%h", *options, *alone)
    # Celery warns root at each start because of pickled messages; ours are JSON.
    environment = {"PYTHONWARNINGS": "ignore:You're running the worker"}
    return Service(name=queue, command=command, environment=environment)
