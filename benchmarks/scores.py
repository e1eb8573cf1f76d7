"""How fast programs get scores over the API, and what annotators feel of it: `python benchmarks/scores.py`.

On a throw-away Postgres, the web server and a scorer as bin/run starts them; clients share the cores. Each
client posts a prompt with images of 512 x 512 pixels as PNG files, reads the scores, and posts the next.
Beside it the same with a scorer that takes one image at a time. Three minutes; with --vit-l 2 GB and longer.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from load import (
    WARM_UP,
    Bench,
    annotate,
    cpu_seconds,
    fill,
    gather,
    middle_and_tail,
    serve,
    tree,
    weigh,
)
from throw_away import installation

SIDE = 512
ENCODER = "demo/weights/encoder"
PROMPT = "a red circle above a blue square on a white background"
BOUNDARY = "benchmark"
PICTURES: list[bytes] = []


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=10.0, help="of a run")
    options.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    options.add_argument("--images", type=int, default=4, help="of a request")
    options.add_argument(
        "--annotators", type=int, default=8, help="who work beside the most clients; 0: none"
    )
    options.add_argument("--vit-l", action="store_true", help="a model of the published size, random weights")
    asked = options.parse_args()
    asked.prompts = 3000
    slow = {"API_REQUESTS_A_MINUTE": "0", "SCORES_SECONDS": "600"}  # a ViT-L without a GPU
    with installation(**slow) as (var, supervisor):
        measure(Bench(var, supervisor, asked))


def measure(bench: Bench) -> None:
    from config.local.application import scorer

    project = fill(bench, people=max(bench.asked.annotators, 1))
    secret = promote(bench, project)
    load_before = os.getloadavg()[0]
    serve(bench)
    PICTURES.extend(map(png, range(max(16, bench.asked.images))))
    rows = []
    for batch in (32, 1):
        os.environ["SCORER_BATCH"] = str(batch)
        bench.supervisor.start(scorer())
        wait_for_scorer()
        weigh_scorer(bench, f"scorer that was never asked, batches of {batch}")
        begun = time.perf_counter()
        Asker(Plan(bench), secret).ask()
        first = time.perf_counter() - begun
        for clients in bench.asked.clients:
            rows.append((batch, *run(bench, secret, clients)))
            print("  ", rows[-1], file=sys.stderr, flush=True)
        if batch == 32:
            bench.tell("first request: torch and the model", f"{first:.1f} s")
            weigh_scorer(bench, "scorer after the load")
            beside_annotators(bench, secret)
        bench.supervisor.children.pop().stop()
    weigh(bench, "web process after the load")
    show(bench, rows, load_before)


def promote(bench: Bench, project: Any) -> str:
    """A model that the project has promoted; an admin's token."""
    from django.utils import timezone

    from annotation.models import User
    from annotation.services.people.tokens import issue_token
    from rewardmodel.services import checkpoints

    folder = str(make_vit_l(bench.var / "vit-l")) if bench.asked.vit_l else ENCODER
    made = checkpoints.register_checkpoint(project=project, name="benchmark", folder=folder)
    checkpoints.promote(made, now=timezone.now())
    admin = User.objects.get(username="admin")
    return issue_token(user=admin, name="benchmark", days=None, now=timezone.now())[1]


def make_vit_l(folder: Path) -> Path:
    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.model.backbones.blip import blip_vit_large
    from rewardmodel.learning.model.reward import RewardModel

    backbone = blip_vit_large()
    config = checkpoints.CheckpointConfig(backbone)
    tokenizer = checkpoints.load(ENCODER).tokenizer
    checkpoints.save(folder, model=RewardModel(backbone), tokenizer=tokenizer, config=config)
    return folder


def wait_for_scorer() -> None:
    from rewardmodel.serving.client import NoScorer

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            told()
            return
        except NoScorer:
            time.sleep(0.1)
    sys.exit("the scorer did not start")


def told() -> dict[str, Any]:
    from django.conf import settings

    from rewardmodel.serving.client import status

    return status(settings.SCORERS[0], key=settings.SCORER_KEY)


def weigh_scorer(bench: Bench, what: str) -> None:
    bench.tell(what, f"{tree(bench, 'scorer')[0].memory_info().rss / 2**20:.0f} MiB RSS")


class Asker:
    """One client: a connection, and the body that it posts again and again."""

    def __init__(self, bench: Plan, secret: str, number: int = 0) -> None:
        turned = number % len(bench.pictures)
        pictures = bench.pictures[turned:] + bench.pictures[:turned]
        self.port, self.body = bench.port, form(pictures[: bench.asked.images])
        self.headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }

    def ask(self) -> float:
        """Seconds until the scores were read; refused for the moment, it asks again."""
        begun = time.perf_counter()
        while not self._try():
            time.sleep(1)
        return time.perf_counter() - begun

    def _try(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", "/api/v1/scores", body=self.body, headers=self.headers)
        response = connection.getresponse()
        said = response.read()
        connection.close()
        if response.status not in (200, 503):
            raise RuntimeError(f"{response.status}: {said[:300]!r}")
        return response.status == 200

    def work(self, until: float) -> list[tuple[float, float]]:
        """(when it was read, seconds) of each request."""
        done = []
        while time.time() < until:
            seconds = self.ask()
            done.append((time.time(), seconds))
        return done


def form(images: list[bytes]) -> bytes:
    parts = [field("project", "bench"), field("prompt", PROMPT)]
    for number, image in enumerate(images):
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{number}.png"\r\n\r\n'
        )
        parts.append(head.encode() + image + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def png(seed: int) -> bytes:
    """About 400 kB, as generated photographs have: soft shapes with a little grain."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(seed)
    soft = Image.fromarray(chance.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((SIDE, SIDE), 3)
    grain = chance.normal(0, 1.5, (SIDE, SIDE, 3))
    file = io.BytesIO()
    Image.fromarray((np.asarray(soft) + grain).clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def ask_for_scores(bench: Plan, secret: str, numbers: list[int], until: float) -> list[tuple[float, float]]:
    """What one client process does: a thread for each of its clients."""
    askers = [Asker(bench, secret, number) for number in numbers]
    with ThreadPoolExecutor(len(askers)) as pool:
        return [one for done in pool.map(lambda asker: asker.work(until), askers) for one in done]


class Plan:
    """What clients need of the bench, in processes of theirs too."""

    def __init__(self, bench: Bench) -> None:
        self.port, self.asked, self.pictures = bench.port, bench.asked, PICTURES


def start_clients(bench: Bench, secret: str, clients: int, until: float) -> tuple[Any, list[Any]]:
    count = min(4, clients)
    pool = get_context("spawn").Pool(count)
    parts = [list(range(clients))[part::count] for part in range(count)]
    return pool, [pool.apply_async(ask_for_scores, (Plan(bench), secret, part, until)) for part in parts]


def run(bench: Bench, secret: str, clients: int) -> tuple[Any, ...]:
    """Clients, p50 and p95 in ms, images a second, mean and most images of a batch, most requests, CPU ms."""
    before = told()
    spent = {name: cpu_seconds(bench, name) for name in ("scorer", "web")}
    until = time.time() + WARM_UP + 1 + bench.asked.seconds
    pool, running = start_clients(bench, secret, clients, until)
    with pool:
        done = [one for part in running for one in part.get()]
    after = told()
    begun = until - bench.asked.seconds
    counted = [seconds for at, seconds in done if at >= begun]
    last = max(at for at, _ in done)
    sizes = {(i, r): n for i, r, n in after["batches"]}
    for i, r, n in before["batches"]:
        sizes[i, r] -= n
    sizes = {key: n for key, n in sizes.items() if n}
    images = sum(i * n for (i, _), n in sizes.items())
    p50, p95 = middle_and_tail(counted) if len(counted) > 1 else (1000 * counted[0],) * 2
    own, web = (1000 * (cpu_seconds(bench, name) - spent[name]) / images for name in spent)
    batches = images / sum(sizes.values()), max(i for i, _ in sizes), max(r for _, r in sizes)
    return clients, p50, p95, len(counted) * bench.asked.images / (last - begun), *batches, own, web


def beside_annotators(bench: Bench, secret: str) -> None:
    """Next and submit of annotators alone, and while the most clients ask for scores."""
    if not bench.asked.annotators:
        return
    for clients in (0, max(bench.asked.clients)):
        until = time.time() + WARM_UP + 1 + bench.asked.seconds
        pool, running = start_clients(bench, secret, clients, until) if clients else (None, [])
        tasks, _ = gather(annotate(bench, "bench", bench.asked.annotators, until=until))
        for part in running:
            part.get()
        if pool:
            pool.terminate()
        counted = [task for task in tasks if task["at"] >= until - bench.asked.seconds]
        said = "a task p50 {:.0f} and p95 {:.0f} ms".format(
            *middle_and_tail([task["took"] for task in counted])
        )
        rate = len(counted) / bench.asked.seconds
        bench.tell(
            f"{bench.asked.annotators} annotators beside {clients} clients",
            f"{said}, {rate:.0f} tasks a second",
        )


def show(bench: Bench, rows: list[tuple[Any, ...]], load_before: float) -> None:
    from importlib.metadata import version

    print(f"load before {load_before:.1f}, {len(os.sched_getaffinity(0))} cores, torch {version('torch')}")
    model = "ViT-L of random weights" if bench.asked.vit_l else "the small world's encoder"
    print(f"{model}, {bench.asked.images} images a request, {len(PICTURES[0]) // 1000} kB each\n")
    print(
        "| batches of at most | clients | p50 ms | p95 ms | images/s | images a batch, mean and most "
        "| requests in one | CPU ms an image: scorer, web |\n|---|---|---|---|---|---|---|---|"
    )
    for batch, clients, p50, p95, rate, mean, most, requests, own, web in rows:
        print(
            f"| {batch} | {clients} | {p50:.0f} | {p95:.0f} | {rate:.0f} | {mean:.1f} and {most} "
            f"| {requests} | {own:.1f}, {web:.1f} |"
        )
    print("\n| what | measured |\n|---|---|")
    for what, said, *_ in bench.rows:
        print(f"| {what} | {said} |")


if __name__ == "__main__":
    main()
