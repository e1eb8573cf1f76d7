"""Label Studio under the load of `annotation.py`, to be run beside it: both on the same cores in one sitting.

    python3 -m venv ls && ls/bin/pip install label-studio==1.23.2 gunicorn
    .venv/bin/python -m benchmarks.label_studio --python ls/bin/python

A task is *next* and *submit*, as its page asks for them: a rating on three axes for each of 6 images, and a
ranking. It is served by gunicorn with two processes of eight threads, on a throw-away Postgres that syncs its
writes; people have tokens, and images are not fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any

import psutil

from config.local.postgres import Cluster, create_database, postgres
from config.local.supervisor import Service, Supervisor

IMAGES = range(1, 7)
AXES = ("overall", "alignment", "fidelity")
WARM_UP = 3.0  # seconds
SHOWN = "".join(f'<Image name="i{image}" value="$i{image}"/>' for image in IMAGES)
RATED = "".join(
    f'<Rating name="{axis}{image}" toName="i{image}" maxRating="7" required="true"/>'
    for image in IMAGES
    for axis in AXES
)
LABELS = f"""<View><Text name="prompt" value="$prompt"/>{SHOWN}{RATED}
<List name="images" value="$images"/><Ranker name="rank" toName="images"/></View>"""
# Runs in its own shell. Tokens of the old kind need no exchange.
PEOPLE = """
import json
from django.contrib.auth import get_user_model
from organizations.models import Organization
from rest_framework.authtoken.models import Token
from jwt_auth.models import JWTSettings
tokens = []
for number in range({count}):
    user = get_user_model().objects.create_user(email=f"p{{number}}@example.org")
    if not number:
        organization = Organization.create_organization(created_by=user, title="bench")
    else:
        organization.add_user(user)
    user.active_organization = organization
    user.save()
    tokens.append(Token.objects.get_or_create(user=user)[0].key)
JWTSettings.objects.update_or_create(
    organization=organization, defaults={{"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}}
)
print("TOKENS", json.dumps(tokens))
"""


class Person:
    """An annotator who asks and answers as the page's script does."""

    def __init__(self, port: int, project: int, token: str) -> None:
        self.port, self.project, self.token = port, project, token
        self.chance = Random(token)
        self.took: list[tuple[float, float, float]] = []  # when stored, seconds of next and of submit

    def ask(self, method: str, path: str, body: object = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        said = response.read()
        connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path} answered {response.status}: {said[:300]!r}")
        return json.loads(said)

    def work(self, until: float) -> None:
        while time.time() < until:
            begun = time.perf_counter()
            task = self.ask("GET", f"/api/projects/{self.project}/next")
            between = time.perf_counter()
            answer = {"result": self.answer(), "lead_time": 30}
            self.ask("POST", f"/api/tasks/{task['id']}/annotations?project={self.project}", answer)
            self.took.append((time.time(), between - begun, time.perf_counter() - between))

    def answer(self) -> list[dict[str, Any]]:
        ratings = [
            {
                "from_name": f"{axis}{image}",
                "to_name": f"i{image}",
                "type": "rating",
                "value": {"rating": self.chance.randint(1, 7)},
            }
            for image in IMAGES
            for axis in AXES
        ]
        order = self.chance.sample([f"i{image}" for image in IMAGES], len(IMAGES))
        ranking = {"from_name": "rank", "to_name": "images", "type": "ranker", "value": {"ranker": order}}
        return [*ratings, ranking]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--python", type=Path, required=True, help="where Label Studio and gunicorn are installed"
    )
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--seconds", type=float, default=12.0)
    options.add_argument("--runs", type=int, default=3)
    asked = options.parse_args()
    var = Path(tempfile.mkdtemp(prefix="label-studio-")).resolve()
    cluster = Cluster(var / "postgres", Path(tempfile.mkdtemp(prefix="ls-")), durable=True)
    supervisor = Supervisor(var, quiet=True)
    try:
        supervisor.start(postgres(cluster))
        create_database(cluster, "labelstudio")
        measure(asked, var, cluster, supervisor)
    finally:
        supervisor.stop()
        shutil.rmtree(cluster.home, ignore_errors=True)
        shutil.rmtree(var, ignore_errors=True)


def measure(asked: argparse.Namespace, var: Path, cluster: Cluster, supervisor: Supervisor) -> None:
    python = str(asked.python.absolute())
    found = subprocess.run(
        [python, "-c", "import label_studio; print(label_studio.__path__[0])"], capture_output=True, text=True
    )
    home = Path(found.stdout.split()[-1])
    environment = {
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "DJANGO_DB": "default",
        "POSTGRE_NAME": "labelstudio",
        "POSTGRE_HOST": str(cluster.sockets),
        "LABEL_STUDIO_BASE_DATA_DIR": str(var / "data"),
        "PYTHONPATH": str(home),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
    }

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [python, "manage.py", *arguments],
            cwd=home,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        return done.stdout

    manage("migrate", "--no-input")
    said = manage("shell", "-c", PEOPLE.format(count=asked.clients))
    tokens = json.loads(said.split("TOKENS ")[-1].splitlines()[0])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gunicorn = (python, "-m", "gunicorn", "core.wsgi", "--bind", f"127.0.0.1:{port}", "--chdir", str(home))
    web = Service(
        name="web",
        command=(*gunicorn, "--workers", "2", "--threads", "8", "--timeout", "120"),
        environment=environment,
        ready=lambda: _answers(port),
    )
    supervisor.start(web)
    admin = Person(port, 0, tokens[0])
    project = admin.ask("POST", "/api/projects", {"title": "bench", "label_config": LABELS})["id"]
    tasks = int(60 * asked.runs * asked.seconds)
    for first in range(0, tasks, 500):
        admin.ask("POST", f"/api/projects/{project}/import", [_task(n) for n in range(first, first + 500)])
    runs = sorted(
        (_run(asked, port, project, tokens, supervisor) for _ in range(asked.runs)), key=lambda run: run[0]
    )
    rate, costs = runs[len(runs) // 2]
    spread = f"{runs[0][0]:.1f} to {runs[-1][0]:.1f}"
    print(f"Label Studio, {asked.clients} clients: {rate:.1f} tasks a second ({spread}); {costs}")


def _run(
    asked: argparse.Namespace, port: int, project: int, tokens: list[str], supervisor: Supervisor
) -> tuple[float, str]:
    people = [Person(port, project, token) for token in tokens]
    before = _spent(supervisor)
    begun = time.time()
    until = begun + WARM_UP + asked.seconds
    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(lambda person: person.work(until), people))
    spent = {name: seconds - before[name] for name, seconds in _spent(supervisor).items()}
    took = [task for person in people for task in person.took]
    counted = [task for task in took if task[0] >= begun + WARM_UP]
    rate = len(counted) / (max(task[0] for task in counted) - begun - WARM_UP)
    said = [
        f"{name} p50 {1000 * median(times):.0f} and p95 {1000 * quantiles(times, n=20)[18]:.0f} ms"
        for name, times in (("next", [t[1] for t in counted]), ("submit", [t[2] for t in counted]))
    ]
    costs = ", ".join(f"{name} {1000 * seconds / len(took):.0f}" for name, seconds in spent.items())
    return rate, f"{', '.join(said)}; CPU ms a task: {costs}"


def _task(number: int) -> dict[str, Any]:
    address = "https://example.org/{}.png"
    images = {f"i{image}": address.format(image) for image in IMAGES}
    shown = [{"id": name, "html": name} for name in images]
    return {"data": {"prompt": f"a fox, take {number}", "images": shown, **images}}


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _spent(supervisor: Supervisor) -> dict[str, float]:
    """CPU seconds of the server and of Postgres, processes that ended included."""
    spent = {}
    for child in supervisor.children:
        first = psutil.Process(child.process.pid)
        seconds = 0.0
        for process in first.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # Postgres ends connections meanwhile: they count below
                seconds += sum(process.cpu_times()[:2])
        spent[child.service.name] = seconds + sum(first.cpu_times()[:4])  # with children that ended
    return spent


if __name__ == "__main__":
    main()
