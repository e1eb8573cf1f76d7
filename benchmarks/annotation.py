"""How fast people get tasks and hand them in, and that nothing is lost: `python benchmarks/annotation.py`.

On a throw-away Postgres that syncs its writes, and the web server as bin/run starts it. Clients, server and
Postgres share the cores; people are signed in before the clock runs. Prints a table, with targets beside.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from annotators import READY, Annotator
from load import Bench, fill, kill_while_loaded, load, serve, weigh
from throw_away import installation

OPINIONS = 4  # of a prompt, where open assignments are many
LAYERS = (
    r"/annotation/|sql/compiler.py.*execute_sql|backends/utils.py.*_execute\b|forms.py.*full_clean|shortcuts"
)
TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=12.0, help="of a load run")
    options.add_argument("--runs", type=int, default=3, help="of each number of clients; the median counts")
    options.add_argument("--clients", type=int, nargs="+", default=[8, 32])
    options.add_argument("--prompts", type=int, default=12_000, help="of the project that is worked on")
    options.add_argument("--open", type=int, nargs="+", default=[10_000, 1_000_000], help="assignments")
    options.add_argument("--imported", type=int, default=50_000, help="prompts of the imported file")
    options.add_argument("--profile", type=int, metavar="TASKS", help="only profile so many tasks")
    asked = options.parse_args()
    with installation() as (var, supervisor):
        measure(Bench(var, supervisor, asked))


def measure(bench: Bench) -> None:
    from django.conf import settings

    settings.ALLOWED_HOSTS.append("testserver")
    fill(bench, people=max(bench.asked.clients))
    if bench.asked.profile:
        profile(bench)
        return
    on = machine(bench)
    count_statements(bench)
    serve(bench)
    for clients in bench.asked.clients:
        load(bench, clients)
    weigh(bench, "web process after the load")
    kill_while_loaded(bench)
    time_claims(bench)
    time_import(bench)
    show(bench, on)


def count_statements(bench: Bench) -> None:
    """What a task asks of Postgres, after another of the same person."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    do_task = in_process(bench)
    do_task()
    with CaptureQueriesContext(connection) as said:
        do_task()
    around = sum(str(query["sql"]).startswith(TRANSACTION) for query in said)
    count = len(said) - around
    bench.tell("SQL statements, a task", f"{count} (+ {around} BEGIN/COMMIT)", "<= 14", count <= 14)


def in_process(bench: Bench) -> Callable[[], None]:
    """A task as a function, without a server: to count and to profile."""
    from django.test import Client

    client = Client(headers={"HX-Request": "true"})
    client.force_login(bench.people[0])
    answers = Annotator(port=0, path="", session="", seed="in process")
    hand = [client.get("/work/bench/").text, ""]  # the task in hand and its claim
    ahead = [client.get("/work/bench/ahead/").text]

    def do_task() -> None:
        action, fields, _, _ = answers.answer(*hand)
        body = urlencode(fields | {"ready": READY.findall(ahead[0])}, doseq=True)
        response = client.post(action, body, content_type="application/x-www-form-urlencoded")
        assert response.headers.get("Task-Claim"), response.content
        hand[:] = ahead[0], response.headers["Task-Claim"]
        ahead[0] = response.text

    return do_task


def profile(bench: Bench) -> None:
    """Where the time of a task goes, in one process without a server: our functions and Django's layers."""
    do_task = in_process(bench)
    do_task()
    profiler = cProfile.Profile()
    begun = time.process_time()
    for _ in range(bench.asked.profile):
        do_task()
    spent = 1000 * (time.process_time() - begun) / bench.asked.profile
    print(f"CPU ms a task in Python without the profiler: {spent:.1f}; with it, seconds in all:")
    for _ in range(bench.asked.profile):
        profiler.runcall(do_task)
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(LAYERS, 40)


def time_claims(bench: Bench) -> None:
    """claim_next of people who hold nothing, by how many assignments are open."""
    from django.utils import timezone
    from open_work import make_project, open_work

    from annotation.models import Assignment
    from annotation.services.assignments.assignments import claim_next

    # Four images and four opinions a prompt, whatever the number: only that may differ.
    project = make_project("claims", people=bench.people, opinions=OPINIONS)
    medians = []
    for count in bench.asked.open:
        open_work(project, prompts=count // OPINIONS, images=4)
        seconds = []
        for _ in range(6):
            for person in bench.people:
                begun = time.perf_counter()
                claim_next(annotator=person, project=project, now=timezone.now(), generator=random.Random(1))
                seconds.append(time.perf_counter() - begun)
            Assignment.objects.filter(project=project).exclude(state="open").update(
                state="open", annotator=None, leased_until=None, claimed_at=None, order=[]
            )
        medians.append(median(seconds))
        bench.tell(f"claim_next, {count:,} open", f"{1000 * medians[-1]:.1f} ms")
    ratio = medians[-1] / medians[0]
    bench.tell("claim_next, many to few open", f"{ratio:.2f} x", "<= 1.5 x", ratio <= 1.5)


def time_import(bench: Bench) -> None:
    from open_work import WORDS, make_project

    from annotation.services.imports import import_prompts

    file = bench.var / "prompts.jsonl"
    with file.open("w") as lines:
        for number in range(bench.asked.imported):
            lines.write(json.dumps({"id": f"{number:06d}", "prompt": f"{WORDS}, number {number}"}) + "\n")
    project = make_project("import", people=[])
    begun = time.perf_counter()
    done = import_prompts(project=project, file=file)
    rate = done.new / (time.perf_counter() - begun)
    bench.tell(f"import of {done.new:,} prompts, a second", f"{rate:,.0f}", ">= 5,000", rate >= 5000)


def machine(bench: Bench) -> dict[str, str]:
    """What it runs on, and how busy that was with other things when the clock began."""
    from importlib.metadata import version

    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('fsync')")
        server, fsync = cursor.fetchone()
    synced = []
    with (bench.var / "synced").open("wb") as file:
        for _ in range(50):
            begun = time.perf_counter()
            file.write(b"8" * 8192)
            file.flush()
            os.fsync(file.fileno())
            synced.append(time.perf_counter() - begun)
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cores": f"{len(os.sched_getaffinity(0))} ({named[0].split(':')[1].strip() if named else 'unknown'})",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": f"{server}, fsync {fsync}; 8 kB synced in {1000 * median(synced):.2f} ms",
        **{name: version(name) for name in ("django", "gunicorn", "psycopg")},
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def show(bench: Bench, on: dict[str, str]) -> None:
    print(", ".join(f"{name} {value}" for name, value in on.items()), end="\n\n")
    print("| what | measured | target | met |\n|---|---|---|---|")
    for row in bench.rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
