"""Annotators as plain HTTP clients: one process of them; its plan comes on stdin, its report goes to stdout.

They do what the page's script does: fill in all three stages, post them and go on with the task behind, whose
page is there by then: the first is fetched, further ones come with the receipts. Images are not fetched. A
task has one connection. When it breaks they send the same request again until it is acknowledged, as a person
would.
"""

from __future__ import annotations

import html
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from urllib.parse import urlencode

FORM = re.compile(r'id="judgement"[^>]*? action="([^"]+)"')
READY = re.compile(r'data-ready="(\w+)"')
HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')
IMAGE = re.compile(r'data-image="(\d+)"')
CATEGORIES = ("animals", "arts", "people", "outdoor", "world")
PATIENCE = 0.1  # seconds before a broken request is sent again


class Finished(Exception):
    """There is no task left."""


class TaskLost(Exception):
    """Somebody else has the task, or had it meanwhile."""


class Unavailable(HTTPException):
    """The server met an error: the same request is sent again."""


class Annotator:
    """One person's cookies, the connection of the task at hand, and what was answered so far.

    Args: is_patient: whether errors of the server are waited for, and lost tasks left to who has them.
    """

    def __init__(self, *, port: int, path: str, session: str, seed: str, is_patient: bool = False) -> None:
        self.is_patient = is_patient
        self.port, self.path, self.cookies = port, path, {"sessionid": session}
        self.chance = Random(seed)
        self.connection = self._connect()
        self.tasks: list[dict[str, object]] = []  # acknowledged
        self.repeated = 0  # requests sent again because the connection broke

    def work(self, until: float, enough: str = "") -> None:
        """Answer one task after the other until that time of the clock, or until that file is there."""
        page, claim, _ = self.ask("GET", self.path)
        ahead = ""
        while time.time() < until and not (enough and Path(enough).exists()):
            action, fields, slots, marks = self.answer(page, claim)
            self.connection.close()
            self.connection = self._connect()
            if not READY.search(ahead):
                ahead, _, _ = self.ask("GET", f"{self.path}ahead/")
            fields["ready"] = READY.findall(ahead)
            try:
                page, claim, submitting = self.ask("POST", action, urlencode(fields, doseq=True))
            except TaskLost:
                page, claim, _ = self.ask("GET", self.path)
                ahead = ""
                continue
            page, ahead = (ahead, page) if claim else (page, "")
            self.tasks.append(
                {
                    "token": action.split("/")[-2],
                    "slots": slots,
                    "marks": marks,
                    "at": time.time(),
                    "took": submitting,
                }
            )

    def answer(self, page: str, claim: str = "") -> tuple[str, dict[str, object], list[int], list[int]]:
        """Where to post, the fields, and the slots and overall marks in the order shown.

        Args: claim: on a page that was fetched ahead.
        """
        form = FORM.search(page)
        if form is None:
            raise Finished(page)
        images = sorted(set(map(int, IMAGE.findall(page))))
        slots = self.chance.sample([1, 1, 2, 2, 3, 3, 4, 4, 5, 5], len(images))
        marks = [7 - slot for slot in slots]  # better slots never have the worse mark
        fields: dict[str, object] = {name: html.unescape(value) for name, value in HIDDEN.findall(page)}
        fields |= {"claim": claim} if claim else {}
        fields |= {"step": "rank", "category": self.chance.choice(CATEGORIES), "issues": "none"}
        for number, slot, mark in zip(images, slots, marks, strict=True):
            fields |= {
                f"slot-{number}": slot,
                f"rating-{number}-overall": mark,
                f"rating-{number}-alignment": self.chance.randint(1, 7),
                f"rating-{number}-fidelity": self.chance.randint(1, 7),
                f"rating-{number}-problems": self.chance.choice(["none", ["blurry", "body"]]),
            }
        return form[1], fields, slots, marks

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[str, str, float]:
        """The page, the claim on the task that was fetched ahead, and the seconds until it was read."""
        begun = time.perf_counter()
        while True:
            try:
                return *self._try(method, path, body), time.perf_counter() - begun
            except (OSError, HTTPException):
                self.repeated += 1
                self.connection.close()
                time.sleep(PATIENCE)
                self.connection = self._connect()

    def _try(self, method: str, path: str, body: str | None) -> tuple[str, str]:
        headers = {
            "HX-Request": "true",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
        }
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.connection.request(method, path, body=body, headers=headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        if self.is_patient and response.status >= 500:
            raise Unavailable
        if self.is_patient and response.status == 409:
            raise TaskLost
        if response.status not in (200, 204):
            raise RuntimeError(f"{method} {path} answered {response.status}: {text[:500]}")
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        return text, response.headers.get("Task-Claim", "")

    def _connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)


def main() -> None:
    plan = json.load(sys.stdin)
    annotators = [
        Annotator(
            port=plan["port"],
            path=plan["path"],
            session=session,
            seed=session,
            is_patient=plan.get("is_patient", False),
        )
        for session in plan["sessions"]
    ]
    with ThreadPoolExecutor(len(annotators)) as pool:
        for shift in [pool.submit(each.work, plan["until"], plan.get("enough", "")) for each in annotators]:
            shift.result()
    tasks = [task for each in annotators for task in each.tasks]
    json.dump({"tasks": tasks, "repeated": sum(each.repeated for each in annotators)}, sys.stdout)


if __name__ == "__main__":
    main()
