"""How soon somebody sees the next task once they submit.

    .venv/bin/python benchmarks/workspace.py [--without]

In headless Chromium, against a server and a throw-away Postgres of its own that syncs its writes; pictures of
noise, 512 by 512. From the key that submits to the first frame that shows another task with all its images.
"""

from __future__ import annotations

import argparse
import io
import socket
import subprocess
from statistics import median, quantiles
from typing import Any

from throw_away import installation

IMAGES = 6
# A task of its own after the frame's callbacks: by then the frame has been painted.
PAINTED = """() => {
    window.painted = new Promise((tell) => {
        addEventListener("keydown", ({ timeStamp }) => {
            new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => tell({
                ms: performance.now() - timeStamp,
                complete: [...document.querySelectorAll("#workspace img")].every((image) => image.complete),
            })))).observe(document.getElementById("main"), { childList: true });
        }, { once: true, capture: true });
    });
}"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=30)
    options.add_argument("--without", action="store_true", help="as if the page never looked ahead")
    asked = options.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Playwright keeps an event loop in this thread.
    with installation(DJANGO_ALLOW_ASYNC_UNSAFE="true") as (_, supervisor):
        from config.local.application import web

        session = prepare(asked.tasks)
        supervisor.start(web(port))
        measure(f"http://127.0.0.1:{port}", session, asked.tasks, looks_ahead=not asked.without)


def prepare(tasks: int) -> str:
    """A project with as many tasks, and somebody who has begun; returns their session."""
    import numpy as np
    import PIL.Image
    from django.test import Client
    from open_work import make_people, make_project

    from annotation.services.assignments.assignments import open_assignments
    from annotation.services.projects.prompts import NewImage, add_generations, add_prompts

    chance = np.random.default_rng(0)

    def picture() -> bytes:
        file = io.BytesIO()
        coarse = chance.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        PIL.Image.fromarray(coarse).resize((512, 512)).save(file, "WEBP")
        return file.getvalue()

    people = make_people(1)
    project = make_project("bench", people=people)
    texts = {f"p{n}": f"a fox in a castle by the sea, number {n}" for n in range(tasks + 2)}
    prompts, _ = add_prompts(project=project, texts=texts)
    for key, prompt in prompts.items():
        images = [NewImage(picture(), f"{key}-{i}.webp", "noise") for i in range(IMAGES)]
        add_generations(prompt=prompt, images=images)
    open_assignments(prompts=prompts.values())
    client = Client()
    client.force_login(people[0])
    return client.cookies["sessionid"].value


def measure(address: str, session: str, tasks: int, *, looks_ahead: bool) -> None:
    from playwright.sync_api import sync_playwright

    found = subprocess.run(["bin/find-browser"], capture_output=True, text=True, check=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.stdout.strip(), args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "sessionid", "value": session, "url": address}])
        page = context.new_page()
        page.goto(f"{address}/work/bench/")
        if not looks_ahead:
            page.route("**/ahead/", lambda route: route.abort())
        seen = [one_task(page, looks_ahead=looks_ahead) for _ in range(tasks)]
        browser.close()
    times = [task["ms"] for task in seen][1:]  # the first one finds caches cold
    complete = sum(task["complete"] for task in seen)
    print(
        f"submit to painted next task, {len(times)} times: median {median(times):.0f} ms, "
        f"p95 {quantiles(times, n=20)[18]:.0f} ms; all {IMAGES} images there at once: {complete} of {tasks}"
    )


def one_task(page: Any, *, looks_ahead: bool) -> dict[str, Any]:
    """Answer the task on the page by keys; what the last key led to."""
    keys = "2 0 Enter " + "4 4 4 0 Enter " * IMAGES + "1 1 2 1 3 2 4 2 5 3 6 3"
    for key in keys.split():
        page.keyboard.press(key)
    if looks_ahead:
        page.wait_for_selector("form[data-next-ready]", state="attached")
    page.wait_for_timeout(1000)  # the draft is saved
    page.evaluate(PAINTED)
    page.keyboard.press("Enter")
    painted: dict[str, Any] = page.evaluate("painted")
    return painted


if __name__ == "__main__":
    main()
