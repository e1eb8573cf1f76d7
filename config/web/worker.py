"""A gunicorn worker in which a client that sends or reads slowly holds up nobody.

gunicorn's own threads read a request and send its response: as many connections as there are threads, each
with half a request, stop a server for good. Here the loop of waitress reads requests whole and sends
responses, for all connections at once; a thread gets a complete request and is free when its response is
made. gunicorn starts, watches and replaces the processes.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.config import Config
from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ThreadedTaskDispatcher

if TYPE_CHECKING:
    from config.web.channels import Channel

HEAD_BYTES = 64 * 1024
SILENCE_SECONDS = 20  # without a byte sent or read, a client is taken for gone
MOST_OPEN_FILES = 65_536
FILES_PER_CONNECTION = 3  # its socket, a body on disk, a file being sent
ACCEPTED_AT_ONCE = 64
LOOK_SECONDS = 5  # between two looks for clients that are


class WaitressWorker(Worker):  # type: ignore[misc]
    """TLS, HTTP/2 and the PROXY protocol end in a proxy in front."""

    @classmethod
    def check_config(cls, cfg: Config, log: Any) -> None:
        if cfg.is_ssl or cfg.proxy_protocol != "off" or cfg.protocol != "http":
            raise ValueError("Laurel speaks plain HTTP: let a proxy in front end TLS and other protocols")

    def run(self) -> None:
        # These need Django, which `config.wsgi` has set up by now.
        from config.database.silence import watch_connections
        from config.health import database_answers
        from config.probes import PROBES
        from config.web.channels import Channel
        from config.web.threads import newest_first

        watch_connections(database_answers)
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue is no news
        self.dispatchers: dict[int, Any] = {}
        self._next_look = 0.0
        self._room = min(self.cfg.worker_connections, _raise_open_files() // FILES_PER_CONNECTION)
        create_server(
            self.wsgi,
            map=self.dispatchers,
            sockets=[listener.sock for listener in self.sockets],
            _dispatcher=newest_first(self.cfg.threads),
            connection_limit=2 * self._room,  # never: `_make_room` closes others before
            channel_timeout=SILENCE_SECONDS,
            cleanup_interval=LOOK_SECONDS,
            max_request_header_size=HEAD_BYTES,
            recv_bytes=256 * 1024,
            inbuf_overflow=64 * 1024,  # bytes of a body in memory; a longer one lies in a file
            asyncore_use_poll=True,
            clear_untrusted_proxy_headers=False,  # PROXIES says how many of them count
            log_socket_errors=False,
            ident="",
        )
        servers = [each for each in self.dispatchers.values() if isinstance(each, BaseWSGIServer)]
        # Each with a thread of its own: /healthz is answered also while everything that pages need hangs, and
        # while load balancers wait for a /readyz that finds so.
        own = {path: ThreadedTaskDispatcher() for path in PROBES}
        for dispatcher in own.values():
            dispatcher.set_thread_count(1)
        for server in servers:
            server.channel_class = Channel
            server.handle_accept = partial(_accept_several, server)
            server.add_task = partial(_add_task, own, server.task_dispatcher)
        while self.alive and self.ppid == os.getppid():
            self._turn(1.0)
        self._stop(servers)

    @property
    def channels(self) -> list[Channel]:
        return [each for each in self.dispatchers.values() if hasattr(each, "close_if_stuck")]

    def _turn(self, seconds: float) -> None:
        self.notify()
        wasyncore.loop(timeout=seconds, use_poll=True, map=self.dispatchers, count=1)
        if len(self.dispatchers) > self._room:
            self._make_room()
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            for channel in self.channels:
                channel.close_if_stuck(since=time.time() - SILENCE_SECONDS)

    def _make_room(self) -> None:
        """Close connections that wait for a head, the longest silent first; then those that wait for more."""
        waiting = [each for each in self.channels if not each.requests]
        waiting.sort(key=lambda channel: channel.merit)
        for channel in waiting[: len(self.dispatchers) - self._room]:
            channel.lingers = False
            channel.handle_close()

    def _stop(self, servers: list[BaseWSGIServer]) -> None:
        """Answer the requests that are complete, for `graceful_timeout` at most."""
        for server in servers:
            server.accepting = False
        until = time.monotonic() + self.cfg.graceful_timeout
        while any(each.requests or each.total_outbufs_len for each in self.channels):
            if time.monotonic() >= until:
                break
            self._turn(0.1)
        wasyncore.close_all(self.dispatchers, ignore_all=True)


def _raise_open_files() -> int:
    """Let this process open as many files as it ever may; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _accept_several(server: BaseWSGIServer) -> None:
    """Accept what waits. waitress takes one client at each turn, and looks at all the others in between."""
    for _ in range(ACCEPTED_AT_ONCE):
        before = len(server._map)
        type(server).handle_accept(server)
        if len(server._map) == before:
            return


def _add_task(
    own: dict[str, ThreadedTaskDispatcher], pages: ThreadedTaskDispatcher, channel: Channel
) -> None:
    own.get(channel.requests[0].path, pages).add_task(channel)
