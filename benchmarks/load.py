"""The web server at rest, at some numbers of clients, and killed in the middle of their work."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from annotators import Annotator

IMAGES = 6  # of a prompt, as ImageReward's mean
WARM_UP = 2.0  # seconds of every load run that are not counted
DYING = 18.0  # seconds of the run in which the server is killed, after a third of it


class Bench:
    """The folder, the services in it, the people, and the rows of the table so far."""

    def __init__(self, var: Path, supervisor: Any, asked: argparse.Namespace) -> None:
        self.var, self.supervisor, self.asked = var, supervisor, asked
        self.people: list[Any] = []
        self.sessions: list[str] = []
        self.port = 0
        self.rows: list[tuple[str, str, str, str]] = []

    def tell(self, what: str, said: str, target: str = "", met: bool | None = None) -> None:
        verdict = "" if met is None else "yes" if met else "**no**"
        self.rows.append((what, said, target, verdict))
        print(f"  {what}: {said}", file=sys.stderr, flush=True)


def fill(bench: Bench, *, people: int) -> Any:
    """Make the project that is worked on, and as many people with sessions; return the project."""
    from django.test import Client
    from open_work import make_images, make_people, make_project, open_work

    make_images(IMAGES)
    bench.people = make_people(people)
    for person in bench.people:
        client = Client()
        client.force_login(person)
        bench.sessions.append(client.cookies["sessionid"].value)
    project = make_project("bench", people=bench.people)
    open_work(project, prompts=bench.asked.prompts, images=IMAGES)
    return project


def serve(bench: Bench) -> None:
    """Start the web server, let each of its processes answer, and weigh them at rest."""
    from config.local.application import web

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bench.port = probe.getsockname()[1]
    bench.supervisor.start(web(bench.port))
    for session in bench.sessions[:8]:
        Annotator(port=bench.port, path="/work/bench/", session=session, seed="").ask("GET", "/work/bench/")
    time.sleep(1)
    weigh(bench, "web process at rest", limit=150)


def weigh(bench: Bench, what: str, *, limit: int | None = None) -> None:
    """The heavier of the gunicorn workers: PSS (its own memory and its share of what is shared) and RSS."""
    sizes = []
    for worker in tree(bench, "web")[1:]:
        lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()[1:]
        kibibytes = dict(line.split()[:2] for line in lines)
        sizes.append((int(kibibytes["Pss:"]) / 1024, int(kibibytes["Rss:"]) / 1024))
    own, all_of_it = max(sizes)
    said = f"{own:.0f} MiB ({all_of_it:.0f} MiB RSS)"
    if limit is None:
        bench.tell(f"{what}, PSS", said)
    else:
        bench.tell(f"{what}, PSS", said, f"<= {limit} MiB", own <= limit)


def tree(bench: Bench, name: str) -> list[Any]:
    """The processes of a service, the first one first."""
    import psutil

    child = next(child for child in bench.supervisor.children if child.service.name == name)
    first = psutil.Process(child.process.pid)
    return [first, *first.children(recursive=True)]


def cpu_seconds(bench: Bench, name: str) -> float:
    """What a service has spent, its ended children too."""
    processes = tree(bench, name)
    spent = [process.cpu_times() for process in processes]
    ended = spent[0].children_user + spent[0].children_system
    return sum(times.user + times.system for times in spent) + ended


def annotate(
    bench: Bench,
    slug: str,
    clients: int,
    *,
    until: float,
    is_patient: bool = False,
    enough: Path | None = None,
) -> list[subprocess.Popen[str]]:
    """Begin a load run in up to four client processes.

    Args:
        is_patient: as an `Annotator` has it.
        enough: a file; once it is there, they end with the task in hand.
    """
    count = min(4, clients)
    started = []
    for part in range(count):
        plan = {
            "port": bench.port,
            "path": f"/work/{slug}/",
            "sessions": bench.sessions[part:clients:count],
            "until": until,
            "is_patient": is_patient,
            "enough": str(enough or ""),
        }
        command = [sys.executable, str(Path(__file__).parent / "annotators.py")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps(plan))
        process.stdin.close()
        started.append(process)
    return started


def gather(processes: list[subprocess.Popen[str]]) -> tuple[list[dict[str, Any]], int]:
    """The acknowledged tasks of a run, and how many requests had to be sent again."""
    tasks: list[dict[str, Any]] = []
    repeated = 0
    for process in processes:
        assert process.stdout is not None
        told = process.stdout.read()
        if process.wait():
            sys.exit("a client process failed")
        said = json.loads(told)
        tasks += said["tasks"]
        repeated += said["repeated"]
    return tasks, repeated


def load(bench: Bench, clients: int) -> None:
    runs = sorted(
        (load_once(bench, clients) for _ in range(bench.asked.runs)), key=lambda run: run["tasks a second"]
    )
    middle = runs[len(runs) // 2]
    rate = middle["tasks a second"]
    spread = (
        f" ({runs[0]['tasks a second']:.0f} to {runs[-1]['tasks a second']:.0f})" if len(runs) > 1 else ""
    )
    is_asked = clients == 8
    wanted = 200 if is_asked else 80
    bench.tell(f"tasks a second, {clients} clients", f"{rate:.0f}{spread}", f">= {wanted}", rate >= wanted)
    p50, p95 = middle["took"]
    bench.tell(
        f"a task, {clients} clients, p50 and p95",
        f"{p50:.0f} and {p95:.0f} ms",
        "p95 <= 40 ms" if is_asked else "",
        p95 <= 40 if is_asked else None,
    )
    web, database, users = (middle[f"{who} CPU"] for who in ("web", "Postgres", "clients"))
    bench.tell(
        f"CPU ms a task, {clients} clients", f"web {web:.1f}, Postgres {database:.1f}, clients {users:.1f}"
    )


def load_once(bench: Bench, clients: int) -> dict[str, Any]:
    before = {name: cpu_seconds(bench, name) for name in ("web", "postgres")}
    own = os.times()
    begun = time.time()
    tasks, _ = gather(annotate(bench, "bench", clients, until=begun + WARM_UP + bench.asked.seconds))
    spent = {name: cpu_seconds(bench, name) - before[name] for name in before}
    now = os.times()
    spent["clients"] = now.children_user + now.children_system - own.children_user - own.children_system
    counted = [task for task in tasks if task["at"] >= begun + WARM_UP]
    seconds = max(task["at"] for task in counted) - begun - WARM_UP
    return {
        "tasks a second": len(counted) / seconds,
        "took": middle_and_tail([task["took"] for task in counted]),
        "web CPU": 1000 * spent["web"] / len(tasks),
        "Postgres CPU": 1000 * spent["postgres"] / len(tasks),
        "clients CPU": 1000 * spent["clients"] / len(tasks),
    }


def middle_and_tail(seconds: list[float]) -> tuple[float, float]:
    """p50 and p95, in ms."""
    cuts = quantiles(seconds, n=20)
    return 1000 * median(seconds), 1000 * cuts[18]


def kill_while_loaded(bench: Bench) -> None:
    """kill -9 of every web process in the middle of a run; then look for what was acknowledged."""
    from open_work import make_project, open_work

    project = make_project("fault", people=bench.people)
    open_work(project, prompts=bench.asked.prompts // 3, images=IMAGES)
    clients = max(bench.asked.clients)
    until = time.time() + DYING
    running = annotate(bench, "fault", clients, until=until)
    time.sleep(DYING / 3)
    killed = tree(bench, "web")
    for process in killed:
        process.send_signal(signal.SIGKILL)
    while time.time() < until:
        for child in bench.supervisor.children:
            child.tend()  # what bin/run does: it starts again what has died
        time.sleep(0.1)
    tasks, repeated = gather(running)
    told, missing, other, unknown = compare(project, tasks)
    bench.tell(
        f"kill -9 of {len(killed)} web processes under {clients} clients",
        f"{told:,} answers acknowledged ({repeated} requests sent again): {missing} missing, "
        f"{other} differ or twice, {unknown} stored that nobody was told of",
        "each there once",
        not (missing or other or unknown) and repeated > 0,
    )


def compare(project: Any, tasks: list[dict[str, Any]]) -> tuple[int, int, int, int]:
    """How many answers were acknowledged, are missing, are otherwise or twice, and are there unasked."""
    from annotation.models import Assignment, Placement, Ranking, Rating

    slots: dict[str, list[tuple[int, int]]] = {}
    marks: dict[str, list[tuple[int, int]]] = {}
    stored = Placement.objects.filter(ranking__assignment__project=project)
    for token, image, slot in stored.values_list("ranking__assignment__token", "generation", "slot"):
        slots.setdefault(str(token), []).append((image, slot))
    rated = Rating.objects.filter(assignment__project=project)
    for token, image, mark in rated.values_list("assignment__token", "generation", "overall"):
        marks.setdefault(str(token), []).append((image, mark))
    closed = Assignment.objects.filter(project=project, submitted_at__isnull=False)
    orders = {str(token): order for token, order in closed.values_list("token", "order")}
    told = {task["token"]: task for task in tasks}
    missing = [token for token in told if token not in orders]
    other = [
        token
        for token, task in told.items()
        if token in orders
        and not (
            sorted(slots.get(token, [])) == sorted(zip(orders[token], task["slots"], strict=True))
            and sorted(marks.get(token, [])) == sorted(zip(orders[token], task["marks"], strict=True))
        )
    ]
    rankings = Ranking.objects.filter(assignment__project=project).count()
    twice = len(tasks) - len(told) + rankings - len(orders)
    return len(told), len(missing), len(other) + abs(twice), len(set(orders) - set(told))
