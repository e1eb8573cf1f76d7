"""Laurel behind PgBouncer in transaction mode: how many of 1,000 and more requests fail.

    LAUREL_VAR=FOLDER python benchmarks/pooler.py --requests 1200

FOLDER is one that `bin/run` has filled and that is not running. Asked are all addresses of pages and API that
can be named, as five roles at a time, and tasks are answered and exports written and downloaded meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CONFIGURATION = """
[databases]
laurel = host={host} dbname=laurel user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool}
max_client_conn = 1000
logfile = {folder}/pgbouncer.log
"""
API = "/api/v1/projects/small-world"
ROLES = ("admin", "inspector", "annotator", "researcher")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pooler(folder: Path, host: Path, *, pool: int) -> tuple[int, subprocess.Popen[bytes]]:
    """Start PgBouncer, which refuses to be root, and return its port."""
    port = free_port()
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(host=host, port=port, folder=folder, pool=pool))
    command = [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", str(file)]
    if os.getuid() == 0:
        for path in (folder, host):
            path.chmod(0o777)
        command = ["setpriv", "--reuid", "nobody", "--clear-groups", *command]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return port, process
        except OSError:
            time.sleep(0.1)


def people() -> dict[str, tuple[str, str]]:
    """Return somebody of each role, and a superuser: name -> session, token."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.utils.timezone import now

    from annotation.models import Project, User
    from annotation.services.people.tokens import issue_token
    from annotation.services.projects.projects import acknowledge, add_member
    from annotation.sessions import SessionStore

    keys = {}
    for role in (*ROLES, "superuser"):
        user, _ = User.objects.get_or_create(username=f"pooled-{role}", is_superuser=role == "superuser")
        User.objects.filter(pk=user.pk).update(is_staff=role == "superuser")
        for project in Project.objects.all() if role in ROLES else ():
            if not project.memberships.filter(user=user).exists():
                add_member(project=project, user=user, role=role)
            acknowledge(guideline=project.guidelines.order_by("-version").first(), user=user)
        session = SessionStore()
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
        session[BACKEND_SESSION_KEY] = "annotation.sessions.People"
        session.save()
        _, secret = issue_token(user=user, name=f"pooler {time.time()}", days=1, now=now())
        keys[role] = (str(session.session_key), secret)
    return keys


def addresses() -> list[str]:
    """Return every address that can be named with what the database has."""
    from django.urls import NoReverseMatch, URLPattern, get_resolver, reverse

    from annotation.models import Assignment, Image, Project, Prompt

    slugs = list(Project.objects.values_list("slug", flat=True))
    token = Assignment.objects.values_list("token", flat=True).first()
    image = Image.objects.values_list("token", flat=True).first()
    prompt = Prompt.objects.values_list("pk", flat=True).first()
    paths = []

    def walk(patterns: Any, given: frozenset[str], space: str) -> Iterator[tuple[str, frozenset[str]]]:
        for one in patterns:
            names = given | set(one.pattern.converters)
            if isinstance(one, URLPattern):
                if one.name:
                    yield f"{space}{one.name}", names
            else:
                yield from walk(
                    one.url_patterns, names, f"{space}{one.namespace}:" if one.namespace else space
                )

    for name, arguments in walk(get_resolver().url_patterns, frozenset(), ""):
        for slug in slugs:
            for pk in (1, 2, prompt):
                values = {"slug": slug, "pk": pk, "token": token, "image": image, "version": 1, "number": 1}
                try:
                    paths.append(reverse(name, kwargs={each: values.get(each, 1) for each in arguments}))
                except NoReverseMatch:
                    continue
    return sorted({path for path in paths if "sign-out" not in path})


class Client(threading.Thread):
    """Somebody who asks one address after another, and answers tasks and exports in between."""

    def __init__(self, role: str, keys: tuple[str, str], port: int, work: Iterator[str], most: int) -> None:
        super().__init__()
        self.role, (self.session, self.token) = role, keys
        self.port, self.work, self.most = port, work, most
        self.answers: Counter[tuple[str, int]] = Counter()

    def run(self) -> None:
        for turn in range(self.most):
            path = next(self.work)
            if turn % 10 == 0:
                self.judge()
            if turn % 40 == 0 and self.role in ("admin", "researcher"):
                self.export()
            self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Cookie": f"sessionid={self.session}"}
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.answers[f"{method} {path}", 599] += 1
            return 599, None
        finally:
            connection.close()
        self.answers[f"{method} {path}", response.status] += 1
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, None

    def judge(self) -> None:
        status, task = self.ask("POST", f"{API}/tasks/next/", {})
        if status == 200 and task:
            self.ask("POST", f"{API}/tasks/skip/", {"claim": task["claim"], "reason": "other", "note": "x"})

    def export(self) -> None:
        status, export = self.ask("POST", f"{API}/exports/", {"format": "csv"})
        for _ in range(60):
            if status not in (200, 201, 202) or not export or export.get("state") == "finished":
                break
            time.sleep(0.5)
            status, export = self.ask("GET", f"{API}/exports/{export['id']}/")
        if export and export.get("state") == "finished":
            self.ask("GET", f"{API}/exports/{export['id']}/file/")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1200)
    parser.add_argument("--pool", type=int, default=4, help="connections to Postgres, fewer than clients")
    asked = parser.parse_args()
    from config.local.application import default_worker, web
    from config.local.postgres import Cluster, postgres
    from config.local.supervisor import Supervisor
    from config.local.valkey import valkey
    from config.settings import SOCKETS, VAR

    supervisor, process = Supervisor(VAR), None
    try:
        supervisor.start(postgres(Cluster(folder=VAR / "postgres", sockets=SOCKETS)))
        supervisor.start(valkey(VAR / "valkey", SOCKETS))
        folder = VAR / "pooler"
        folder.mkdir(exist_ok=True)
        if os.getuid() == 0:
            VAR.chmod(0o711)
        bouncer, process = pooler(folder, SOCKETS, pool=asked.pool)
        os.environ["DATABASE_URL"] = f"postgres://postgres@127.0.0.1:{bouncer}/laurel"
        os.environ["PREPARE_STATEMENTS"] = "off"
        os.environ["API_REQUESTS_A_MINUTE"] = "0"
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True, cwd=ROOT)
        for module in [name for name in sys.modules if name == "config.settings"]:
            del sys.modules[module]
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django

        django.setup()
        port = free_port()
        supervisor.start(web(port))
        supervisor.start(default_worker())
        keys, paths = people(), addresses()
        return crawl(port, keys, paths, asked.requests)
    finally:
        supervisor.stop()
        if process is not None:
            process.terminate()


def crawl(port: int, keys: dict[str, tuple[str, str]], paths: list[str], most: int) -> int:
    """Ask, print what came of it, and return 1 where a request failed."""
    scout = Client("superuser", keys["superuser"], port, cycle(paths), 0)
    paths = [path for path in paths if scout.ask("GET", path)[0] not in (404, 405)]
    clients = []
    for place, (role, both) in enumerate(keys.items()):
        own = [path for path in paths if role == "superuser" or not path.startswith("/admin/")]
        start = place * len(own) // len(keys)
        clients.append(Client(role, both, port, cycle(own[start:] + own[:start]), -(-most // len(keys))))
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    total: Counter[int] = Counter()
    failed: Counter[str] = Counter()
    for client in (scout, *clients):
        for (what, status), count in client.answers.items():
            total[status] += count
            if status >= 500:
                failed[re.sub(r"\d+|[0-9a-f-]{36}", "N", what)] += count
    print(f"{len(paths)} addresses, {sum(total.values())} requests: {dict(sorted(total.items()))}")
    for client in clients:
        print(f"  {client.role}: {dict(sorted(Counter(status for (_, status) in client.answers).items()))}")
    for what, count in failed.most_common():
        print(f"  {count} x {what}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
