"""Simulated annotators, who sign in over HTTP and answer through the form that a browser shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import count
from random import Random
from threading import Lock
from typing import Protocol

from PIL import Image

from annotation.models.judgements import Problem
from demo.browser import Browser, Form, Page, PageRefused
from demo.people import Person
from demo.world.annotators import Annotator
from demo.world.oracle import Flaw

CATEGORY = "abstract"  # what PartiPrompts would call coloured shapes
# A thing of the small world has no limbs: what is missing or misshapen counts as its body.
PROBLEMS = {Flaw.REPEATED: Problem.REPEATED, Flaw.BROKEN: Problem.BODY, Flaw.BLURRED: Problem.BLURRY}


class Strayed(Exception):
    """The page is not what an annotator expects; the message says what is missing."""


class Countdown(Protocol):
    def __call__(self) -> bool:
        """Take one of the tasks wanted; false when none is left."""


def simulate(
    *, url: str, project: str, people: Sequence[Person], tasks: int, seed: int, on_task: Callable[[], object]
) -> int:
    """Let the people work in parallel until `tasks` are done or none is left.

    Args: url: the server's; project: its slug; on_task: called after each task, from any thread.
    Returns: how many tasks were done.
    Raises: PageRefused; Strayed; URLError when nobody answers.
    """
    take = _countdown(tasks)

    def shift(number: int, person: Person) -> int:
        done = 0
        for _ in work(
            url=url, project=project, person=person, take=take, generator=Random(f"{seed} {number}")
        ):
            on_task()
            done += 1
        return done

    with ThreadPoolExecutor(len(people)) as pool:
        shifts = [pool.submit(shift, number, person) for number, person in enumerate(people)]
        return sum(each.result() for each in shifts)


def work(*, url: str, project: str, person: Person, take: Countdown, generator: Random) -> Iterator[None]:
    """Sign in and judge one task after the other; yield after each that the server has accepted."""
    browser = Browser(url)
    _sign_in(browser, person)
    page = browser.get(f"work/{project}/")
    guideline = page.form(id="acknowledge")
    if guideline is not None:
        page = browser.post(guideline, {})
    while (form := page.form(id="judgement")) is not None and take():
        page = browser.post(form, _answer(browser, page, form, person.annotator, generator))
        yield


def _sign_in(browser: Browser, person: Person) -> None:
    form = browser.get("sign-in/").form(method="post")
    if form is None:
        raise Strayed("the sign-in page has no form")
    try:
        browser.post(form, {"username": person.name, "password": person.password})
    except PageRefused as refusal:
        raise Strayed(f"{person.name} could not sign in: {refusal}") from refusal


def _answer(
    browser: Browser, page: Page, form: Form, annotator: Annotator, generator: Random
) -> dict[str, str | list[str]]:
    """Fill in the form from what the page shows alone: the prompt and the images."""
    addresses = {
        each.attributes["data-image"]: each.attributes["src"] for each in page.elements_with("data-image")
    }
    prompts = [each.text for each in page.elements if each.attributes.get("id") == "prompt"]
    if not addresses or not prompts:
        raise Strayed(f"{page.url} shows no images or no prompt")
    images = [Image.open(BytesIO(browser.fetch(src))).convert("RGB") for src in addresses.values()]
    judgement = annotator.judge(images, prompts[0], generator)
    fields: dict[str, str | list[str]] = {}
    if "category" in form.names:
        fields |= {"category": CATEGORY, "issues": ["none"]}
    if "acceptable" in form.names:  # as far as the middle of the scale
        fields["acceptable"] = str(
            max(
                (slot for slot, r in zip(judgement.slots, judgement.ratings, strict=True) if r.overall >= 4),
                default=0,
            )
        )
    for number, slot, rating in zip(addresses, judgement.slots, judgement.ratings, strict=True):
        fields[f"slot-{number}"] = str(slot)
        problems = f"rating-{number}-problems"
        if problems in form.names:
            asked = {name for name in form.names if name.startswith(f"rating-{number}-")} - {problems}
            # Of an axis that nobody here has an eye for, they say what they think of the whole.
            marks = {name: getattr(rating, name.rpartition("-")[2], rating.overall) for name in asked}
            fields |= {name: str(mark) for name, mark in marks.items()}
            fields[problems] = [PROBLEMS[flaw].value for flaw in rating.flaws] or ["none"]
    return fields


def _countdown(tasks: int) -> Countdown:
    numbers, lock = count(), Lock()

    def take_number() -> bool:
        with lock:
            return next(numbers) < tasks

    return take_number
