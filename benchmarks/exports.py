"""How fast rankings come in and go out, and what memory that takes: `python benchmarks/exports.py`.

On a throw-away Postgres that syncs its writes, without image files. Every export runs in a process of its
own, of which the peak memory is printed: if it is flat in rows, it is the same for the small and the large
project. `before` is the peak after loading Django.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

from throw_away import ROOT, installation

IMAGES = 6  # of a prompt, as ImageReward's mean
ROW = "{:14} {:>8} {:>12} {:>8} {:>9} {:>6} {:>9} {:>5} {:>6}"
WORDS = ("fox", "owl", "castle", "in", "oil", "painting", "highly", "detailed", "8k", "light", "sea", "night")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prompts", type=int, nargs="+", default=[1000, 8000])
    options.add_argument("--formats", nargs="+", help="default: all")
    options.add_argument("--one", nargs=3, metavar=("PROJECT", "FORMAT", "DIR"), help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.one:
        export_one(*arguments.one)
        return
    with installation() as (var, _):
        measure(var, arguments.prompts, arguments.formats)


def measure(var: Path, sizes: list[int], formats: list[str] | None) -> None:
    from annotation.services.exports import FORMATS

    print(
        ROW.format("", "prompts", "comparisons", "seconds", "a second", "CPU s", "a CPU s", "MiB", "before")
    )
    for prompts in sizes:
        seconds, cpu = fill(var, prompts)
        show("import", prompts, prompts * IMAGES * (IMAGES - 1) // 2, seconds, cpu)
    for format in formats or sorted(FORMATS):
        for prompts in sizes:
            folder = var / f"{format}-{prompts}"
            command = [sys.executable, __file__, "--one", f"bench-{prompts}", format, str(folder)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            figures = json.loads(output)
            show(
                format,
                prompts,
                *(figures[name] for name in ("comparisons", "seconds", "cpu", "peak", "start")),
            )
            shutil.rmtree(folder)


def show(what: str, prompts: int, pairs: int, seconds: float, cpu: float, *mebibytes: float) -> None:
    rates = (f"{seconds:.2f}", f"{pairs / seconds:,.0f}", f"{cpu:.2f}", f"{pairs / cpu:,.0f}")
    memory = [f"{figure:.0f}" for figure in mebibytes] or ["", ""]
    print(ROW.format(what, f"{prompts:,}", f"{pairs:,}", *rates, *memory), flush=True)


def fill(var: Path, prompts: int) -> tuple[float, float]:
    """Import rankings with labels and ratings; return seconds, and seconds of this process's CPU."""
    import pyarrow
    from django.utils.timezone import now
    from pyarrow import parquet

    from annotation.models import User
    from annotation.services.imports import import_rankings
    from annotation.services.projects.projects import create_project

    generator = random.Random(prompts)
    rows = []
    for key in range(prompts):
        text = " ".join(generator.choices(WORDS, k=20))
        for image, slot in enumerate(generator.sample([1, 1, 2, 2, 3, 3, 4, 4, 5, 5], IMAGES)):
            rows.append(
                {
                    "image_path": f"images/{key:06d}-{image}.webp",
                    "prompt_id": f"{key:06d}",
                    "prompt": text,
                    "classification": "People",
                    "image_amount_in_total": IMAGES,
                    "rank": slot,
                    "overall_rating": 8 - slot,
                    "image_text_alignment_rating": 4,
                    "fidelity_rating": 4,
                }
            )
    file = var / "metadata-train.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    admin, _ = User.objects.get_or_create(username="bench", is_superuser=True)
    project = create_project(slug=f"bench-{prompts}", name="Benchmark", admin=admin, guideline="# Fair")
    begun, worked = perf_counter(), process_time()
    import_rankings(project=project, file=file, now=now(), without_images=True)
    return perf_counter() - begun, process_time() - worked


def export_one(slug: str, format: str, folder: str) -> None:
    """In a process of its own, which has the installation's environment."""
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    from django.utils.timezone import now

    from annotation.models import Project
    from annotation.services.exports import export_to_folder

    project = Project.objects.get(slug=slug)
    start = peak_memory()
    begun, worked = perf_counter(), process_time()
    done = export_to_folder(project=project, format=format, folder=Path(folder), now=now())
    seconds, cpu = perf_counter() - begun, process_time() - worked
    figures = {"comparisons": done.pairs + done.ties, "seconds": seconds, "cpu": cpu}
    print(json.dumps(figures | {"peak": peak_memory(), "start": start}))


def peak_memory() -> float:
    """Return the peak memory of this program in MiB. `getrusage` would include its parent's, before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
