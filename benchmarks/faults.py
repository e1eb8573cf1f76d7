"""Faults on a running stack of its own: what was lost, which must be nothing, and how long until all works.

It is started as `bin/run` does, works on throw-away data, and takes ten to twenty minutes of two cores. The
clock is moved by a library that this compiles (`moved_clock.c`), so that takes a C compiler; without one that
fault is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from faulty_stack import Stack

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = 8
PROMPTS = 12_000
MOST_SECONDS = 900
BETWEEN = 5.0  # seconds of undisturbed work after each fault
SERVICES = ("web", "default", "gpu", "scorer", "beat", "valkey", "postgres")
HOURS = 3  # longer than a lease, shorter than a session may be idle
UPDATES = 12
KILLS = 5

Row = tuple[str, str, str]  # fault, lost, recovery


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    asked = options.parse_args()
    sys.path.insert(0, str(ROOT))  # before this folder: `annotation` is the package
    os.chdir(ROOT)
    folder = Path(tempfile.mkdtemp(prefix="laurel-faults-")).resolve()
    rows: list[Row] = []
    with Stack(folder) as stack:
        prepare(stack)
        for name in asked.only:
            for row in FAULTS[name](stack):
                rows.append(row)
                print(*row, sep=" | ", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    print("| fault | lost | until all works |", "|---|---|---|", sep="\n")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def prepare(stack: Stack) -> None:
    """People who are signed in, and more work than they do."""
    from django.conf import settings
    from django.test import Client
    from open_work import make_images, make_people, make_project, open_work

    settings.ALLOWED_HOSTS.append("testserver")
    make_images(6)
    people = make_people(CLIENTS)
    for person in people:
        client = Client()
        client.force_login(person)
        stack.sessions.append(client.cookies["sessionid"].value)
    open_work(make_project("faults", people=people), prompts=PROMPTS, images=6)


def _is_new(stack: Stack, service: str, before: set[int]) -> bool:
    return bool(stack.pids(service) - before)


class Answers:
    """People at work while faults happen, and what came of their answers."""

    def __init__(self, stack: Stack) -> None:
        from load import annotate

        self.enough = stack.folder / "enough"
        self.enough.unlink(missing_ok=True)
        self.stack = stack
        self.running = annotate(
            stack, "faults", CLIENTS, until=time.time() + MOST_SECONDS, is_patient=True, enough=self.enough
        )

    def compared(self) -> str:
        """After some undisturbed work, say what was lost of what was acknowledged to them."""
        from django.db import connection
        from load import compare, gather

        from annotation.models import Project

        time.sleep(BETWEEN)
        self.enough.touch()
        connection.close()  # it may be lost
        tasks, repeated = gather(self.running)
        self.stack.tasks += tasks
        _, missing, other, _ = compare(Project.objects.get(slug="faults"), self.stack.tasks)
        return (
            f"{missing} missing, {other} differ or twice, of {len(tasks):,} answers ({repeated} sent again)"
        )


def kill_services(stack: Stack) -> list[Row]:
    """kill -9 of all processes of each service in turn, under people who answer."""
    people, took = Answers(stack), {}
    for service in SERVICES:
        time.sleep(BETWEEN)
        before = stack.pids(service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        stack.wait_until(partial(_is_new, stack, service, before), 120)
        stack.wait_until(stack.is_ready, 120)
        took[service] = time.monotonic() - begun
    said = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
    return [("kill -9 of each service while 8 people answer", people.compared(), said)]


def hang_database(stack: Stack) -> list[Row]:
    """SIGSTOP of every process of Postgres, under open connections."""
    people, seconds = Answers(stack), 25
    time.sleep(BETWEEN)
    stopped = stack.pids("postgres")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    begun, waits = time.monotonic(), []
    while time.monotonic() - begun < seconds:
        waits.append(stack.seconds_of("/work/faults/"))
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    begun = time.monotonic()
    stack.wait_until(stack.is_ready, 120)
    took = time.monotonic() - begun
    said = f"{took:.1f} s after its end; a page waited {max(waits):.1f} s at most"
    return [(f"Postgres hangs for {seconds} s (SIGSTOP)", people.compared(), said)]


def move_clock(stack: Stack) -> list[Row]:
    """The time of day jumps ahead, and back, under people who answer."""
    if not stack.has_clock:
        return [("clock", "not tried: no C compiler", "")]
    people, took = Answers(stack), []
    for hours in (HOURS, 0):
        time.sleep(BETWEEN)
        stack.move_clock(hours * 3600)
        begun = time.monotonic()
        stack.wait_until(stack.is_ready, 120)
        stack.wait_until(lambda: stack.seconds_of("/work/faults/") < 5, 120)
        took.append(time.monotonic() - begun)
    said = f"{took[0]:.1f} s and {took[1]:.1f} s"
    return [(f"clock {HOURS} hours ahead, and back", people.compared(), said)]


def delete_files(stack: Stack) -> list[Row]:
    """A third of the images and folders that can be made again are deleted, under people who answer."""
    from django.conf import settings
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.utils.timezone import now

    from annotation.models import Project, Upload, User
    from annotation.services.imports import request_import
    from annotation.tasks import wake_import

    admin, project = User.objects.get(username="admin"), Project.objects.get(slug="faults")
    file = SimpleUploadedFile("images.zip", pictures(60))
    upload = request_import(project=project, file=file, by=admin, now=now())
    wake_import(upload)
    stack.wait_until(lambda: Upload.objects.get(pk=upload.pk).state == "finished", 120)
    people = Answers(stack)
    time.sleep(BETWEEN)
    images = sorted(path for path in Path(settings.MEDIA_ROOT).rglob("*.png"))
    copies = {path: path.read_bytes() for path in images[::3]}
    for path in copies:
        path.unlink()
    for name in ("static", "log", "exports", "uploads", "image_cache"):
        shutil.rmtree(Path(settings.VAR) / name, ignore_errors=True)
    begun = time.monotonic()
    stack.wait_until(stack.is_ready, 120)
    ready = time.monotonic() - begun
    told = stack.manage("check_files", may_fail=True)
    named = sum(path.name in told for path in copies)
    for path, content in copies.items():
        path.write_bytes(content)
    after = stack.manage("check_files", may_fail=True)
    still = sum(path.name in after for path in copies)
    said = (
        f"{ready:.1f} s; `check_files` named {named} of {len(copies)} images, and {still} once they were back"
    )
    return [("var/ partly deleted: images, static, log, exports, uploads", people.compared(), said)]


def pictures(count: int) -> bytes:
    """A .zip with so many pictures, two of a prompt."""
    from PIL import Image

    out, rows = io.BytesIO(), []
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(count):
            png = io.BytesIO()
            Image.new("RGB", (32, 32), (number, 255 - number, 7)).save(png, "PNG")
            archive.writestr(f"{number}.png", png.getvalue())
        for prompt in range(count // 2):
            files = [{"file": f"{2 * prompt}.png"}, {"file": f"{2 * prompt + 1}.png"}]
            rows.append(
                json.dumps({"prompt_id": f"i{prompt}", "prompt": f"picture {prompt}", "images": files})
            )
        archive.writestr("manifest.jsonl", "\n".join(rows))
    return out.getvalue()


def kill_tunings(stack: Stack) -> list[Row]:
    """A tuning whose worker is killed five times, and one whose worker is killed while it saves."""
    from demo.seeding import ensure_project

    project = ensure_project("small", name="Small world", enabled=False)
    whole, _ = tune(stack, project, disturb=lambda run: None)
    rows = []
    for title, disturb in (
        (f"tuning killed {KILLS} times (kill -9 of the gpu worker and its run)", kill_often),
        ("gpu worker killed while it saves", kill_while_saving),
    ):
        began = time.monotonic()
        result, recoveries = tune(stack, project, disturb=partial(disturb, stack))
        lost = "0 weights differ" if result == whole else "**the weights differ**"
        said = f"{max(recoveries):.0f} s to the next update at most; {time.monotonic() - began:.0f} s in all"
        rows.append((title, f"{lost} from those of a run never killed", said))
    return rows


def tune(stack: Stack, project: Any, *, disturb: Callable[[Any], Any]) -> tuple[str, list[float]]:
    """Tune the shipped generator through the queue. Returns: a hash of the weights, and what disturb did."""
    from django.utils.timezone import now

    from demo.settings import REFL_CONFIG
    from refl.models import Generator
    from refl.services.tuning import queue_tuning
    from rewardmodel.runs import states
    from rewardmodel.runs.waking import wake

    config = replace(REFL_CONFIG, updates=UPDATES, checkpoint_every=2, guard_every=0, sample_every=0)
    shipped = Generator.objects.filter(project=project).latest("pk")
    first = Generator.objects.filter(project=project, name="shipped generator").first() or shipped
    run = queue_tuning(project=project, generator=first, config=config.to_dict())
    wake(run)
    recoveries = disturb(run) or []
    made = (
        run.folder / "pipeline"
    )  # written whole; judging it, which follows, takes longer and changes nothing
    stack.wait_until(lambda: made.exists() or type(run).objects.get(pk=run.pk).is_over, 900)
    if not made.exists():
        sys.exit(f"{run} made nothing: {type(run).objects.get(pk=run.pk).error}")
    digest = hashlib.sha256()
    for file in sorted(made.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    states.cancel(type(run).objects.get(pk=run.pk), now=now(), by=None)
    stack.wait_until(lambda: type(run).objects.get(pk=run.pk).is_over, 300)
    return digest.hexdigest(), recoveries


def kill_often(stack: Stack, run: Any) -> list[float]:
    return [kill_after(stack, run, step=1 + 2 * kill) for kill in range(KILLS)]


def kill_after(stack: Stack, run: Any, *, step: int) -> float:
    """Kill the worker once the run is past this step. Returns: seconds to the next update after."""
    stack.wait_until(lambda: type(run).objects.get(pk=run.pk).step >= step, 600)
    return kill_gpu(stack, run)


def kill_while_saving(stack: Stack, run: Any) -> list[float]:
    stack.wait_until(lambda: type(run).objects.get(pk=run.pk).step >= 1, 600)
    stack.wait_until(lambda: any(run.folder.rglob(".*.new")), 600, pause=0.0005)
    return [kill_gpu(stack, run)]


def kill_gpu(stack: Stack, run: Any) -> float:
    for pid in stack.pids("gpu"):
        os.kill(pid, signal.SIGKILL)
    begun, attempt = time.monotonic(), type(run).objects.get(pk=run.pk).attempt
    at = type(run).objects.get(pk=run.pk).step

    def goes_on() -> bool:
        row = type(run).objects.get(pk=run.pk)
        return row.attempt > attempt and (row.step > at or row.is_over)

    stack.wait_until(goes_on, 600)
    return time.monotonic() - begun


def migrate(stack: Stack) -> list[Row]:
    """The newest migrations of annotation are taken back and made again, with all answers in the tables."""
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader
    from load import compare

    from annotation.models import Project

    names = sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == "annotation")
    stack.manage("migrate", "annotation", names[-3])
    begun = time.monotonic()
    stack.manage("migrate")
    took = time.monotonic() - begun
    connection.close()
    _, missing, other, _ = compare(Project.objects.get(slug="faults"), stack.tasks)
    begun = time.monotonic()
    stack.wait_until(stack.is_ready, 120)
    ready = time.monotonic() - begun
    lost = f"{missing} missing, {other} differ or twice, of {len(stack.tasks):,} answers"
    return [("two migrations back and forth with data", lost, f"{took:.1f} s, then {ready:.1f} s")]


FAULTS: dict[str, Callable[[Stack], list[Row]]] = {
    "kill": kill_services,
    "hang": hang_database,
    "clock": move_clock,
    "files": delete_files,
    "migration": migrate,
    "tuning": kill_tunings,
}

if __name__ == "__main__":
    main()
