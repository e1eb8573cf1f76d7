"""Reading Label Studio's JSON export: annotations of rankers, pairwise choices and ratings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from annotation.models import Issue, Problem, Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    annotator,
    category,
    choices,
    is_address,
    ratings,
    seconds,
    without_none,
    yes_or_no,
)
from annotation.services.imports.rows import Row

CONFIG = "labeling_config.xml"  # beside the file: which field of a task each control shows
LARGEST_CONFIG = 1_000_000
TEXTS = ("prompt", "text", "caption")  # the field of a task that holds the prompt, without a config
SLOT = re.compile(r"slot[-_ ]?([0-9]{1,2})", re.IGNORECASE)
UNRANKED = "_"  # the bucket in which Label Studio keeps what nobody moved
SOURCE = re.compile(r"""<img[^>]*?\ssrc\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
SERVED = ("/data/local-files/?d=", "/data/")  # how Label Studio serves local files, and uploads
RANKED, CHOSEN, RATED = "ranker", "pairwise", "rating"


@dataclass(frozen=True)
class _Opinion:
    """An annotation: its results by control, `row` to name where one is wrong, with `seconds`."""

    task: Row  # the task's `data`
    row: Row
    annotator: str
    results: dict[str, tuple[str, Any]]  # control -> type, value

    def value(self, control: str) -> Any:
        return self.results.get(control, ("", None))[1]


def _read_tasks(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Yield a record per annotation that ranks; single rated images are ranked with their prompt's others.

    Annotations that were cancelled are skipped. Raises: ImportRefused.
    """
    singles: dict[tuple[str, str], list[tuple[_Opinion, str, int]]] = {}
    shown: dict[str, str] | None = None
    for row in rows:
        shown = _shown(row.file) if shown is None else shown
        for opinion in _opinions(row):
            kinds = {kind for kind, _ in opinion.results.values()}
            if RANKED in kinds or CHOSEN in kinds:
                yield _ranked(project, opinion, shown)
            elif RATED in kinds:
                source, rating = _rated(opinion, shown)
                group = singles.setdefault((_text(opinion.task, shown), opinion.annotator), [])
                group.append((opinion, source, rating))
            else:
                raise opinion.row.refused("an annotation has no ranker, pairwise or rating result")
    for (text, name), group in singles.items():
        yield _of_ratings(text, name, group)


def _opinions(row: Row) -> Iterator[_Opinion]:
    row.check_names(required=("data", "annotations"), optional=row.fields)
    task = row.with_fields(row.record("data"))
    annotations = row.fields["annotations"]
    if not isinstance(annotations, list):
        raise row.refused("'annotations' is no list")
    for fields in annotations:
        if not isinstance(fields, dict) or not isinstance(fields.get("result"), list):
            raise row.refused("an annotation has no 'result' list")
        if fields.get("was_cancelled"):
            continue
        annotation = row.with_fields({**fields, "seconds": fields.get("lead_time")})
        results = dict(_result(annotation, result) for result in fields["result"])
        task = _with_id(task, row)
        said = results.get("annotator")
        name = said[1][0] if said and isinstance(said[1], list) and said[1] else _completed_by(fields)
        person = row.with_fields({"annotator": name})
        yield _Opinion(task, annotation, annotator(person, "annotator"), results)


def _with_id(task: Row, row: Row) -> Row:
    """Return the task with a prompt id: its own, else the task's, else its row's name."""
    return task.with_fields({"prompt_id": f"task-{row.fields.get('id', row.name)}", **task.fields})


def _completed_by(annotation: dict[str, Any]) -> str:
    """Return the id of whoever gave it; an export may hold the user instead. "" where it says nothing."""
    by = annotation.get("completed_by")
    by = by.get("id") if isinstance(by, dict) else by
    return "" if by is None else str(by)


def _result(row: Row, result: Any) -> tuple[str, tuple[str, Any]]:
    """Return the control, and the type of its result with what it holds. Raises: ImportRefused."""
    if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
        raise row.refused("a result has no 'value'")
    kind = str(result.get("type"))
    names = {CHOSEN: "selected", "textarea": "text"}
    value = result["value"].get(names.get(kind, kind))
    if kind == CHOSEN:
        value = {"selected": value, "to_name": str(result.get("to_name"))}
    if kind == RATED:
        value = {"rating": value, "to_name": str(result.get("to_name"))}
    return str(result.get("from_name")), (kind, value)


def _ranked(project: Project, opinion: _Opinion, shown: dict[str, str]) -> RankingRecord:
    task, row = opinion.task, opinion.row
    placed = _placed(opinion, shown)
    numbers = _numbers(task)  # of the images of our own exports
    order = opinion.value("order_shown")
    sources = list(placed)
    if isinstance(order, list) and order:
        by_number = {str(number): source for source, number in numbers.items()}
        sources = [by_number[word] for word in str(order[0]).split() if word in by_number]
        if sorted(sources) != sorted(placed):
            raise row.refused("'order_shown' does not number the ranked images")
    files = {source: _file(task, source, shown) for source in sources}
    fields = _flat(opinion, numbers, sources)
    axes = {axis: axis for each in fields for axis in each if axis != "problems"}
    stars = ratings(project, [row.with_fields(each) for each in fields], axes)
    known = row.with_fields({**row.fields, **_label(opinion)})
    return RankingRecord(
        row=row,
        key=task.text("prompt_id", longest=KEY_LENGTH),
        text=_text(task, shown),
        sources=row.with_fields({"images": sources}).texts("images", longest=SOURCE_LENGTH),
        slots=[
            row.with_fields({"slot": placed[source]}).integer("slot", low=1, high=project.slots)
            for source in sources
        ],
        annotator=opinion.annotator,
        category=category(known, "category"),
        intent_unclear=known.fields["intent_unclear"],
        issues=choices(known, "issues", Issue.values),
        ratings=stars,
        problems=tuple(choices(row.with_fields(each), "problems", Problem.values) for each in fields)
        if stars
        else (),
        generators=tuple(_generator(task, source) for source in sources),
        files=tuple(files[source] for source in sources),
        positions=tuple(range(1, len(sources) + 1)) if order else (),
        seconds=seconds(row),
        acceptable_slots=acceptable_slots(known, project),
    )


def _placed(opinion: _Opinion, shown: dict[str, str]) -> dict[str, int]:
    """Return the slot of each ranked image, by source. Raises: ImportRefused."""
    row = opinion.row
    ranked = [value for kind, value in opinion.results.values() if kind == RANKED]
    if len(ranked) + sum(kind == CHOSEN for kind, _ in opinion.results.values()) != 1:
        raise row.refused("an annotation has more than one ranking")
    if not ranked:
        (choice,) = (value for kind, value in opinion.results.values() if kind == CHOSEN)
        return _of_two(opinion, choice, shown)
    (value,) = ranked
    buckets = [[name] for name in value] if isinstance(value, list) else None
    if isinstance(value, dict):
        named = {name: items for name, items in value.items() if name != UNRANKED}
        numbers = [SLOT.fullmatch(name) for name in named]
        slots = [int(match[1]) for match in numbers if match]
        places = slots if len(slots) == len(named) else range(1, len(named) + 1)
        pairs = list(zip(places, named.values(), strict=True))
    elif buckets is not None:
        pairs = list(enumerate(buckets, 1))
    else:
        raise row.refused("a ranker's result is neither a list nor an object")
    placed: dict[str, int] = {}
    for slot, items in pairs:
        for item in items if isinstance(items, list) else []:
            if str(item) in placed:
                raise row.refused(f"{str(item)!r} is ranked twice")
            placed[str(item)] = slot
    return placed


def _of_two(opinion: _Opinion, choice: dict[str, Any], shown: dict[str, str]) -> dict[str, int]:
    """Return slots 1 and 2 of a pairwise choice. Raises: ImportRefused."""
    names = choice["to_name"].split(",")
    if choice["selected"] not in ("left", "right") or len(names) != 2:
        raise opinion.row.refused(f"a pairwise choice is {choice['selected']!r}, neither left nor right")
    left, right = (_address(opinion.task, name, shown) for name in names)
    best = choice["selected"] == "left"
    return {left: 1 if best else 2, right: 2 if best else 1}


def _rated(opinion: _Opinion, shown: dict[str, str]) -> tuple[str, int]:
    """Return the one image of a task and how it was rated. Raises: ImportRefused."""
    rated = [value for kind, value in opinion.results.values() if kind == RATED]
    if len(rated) != 1:
        raise opinion.row.refused("has several ratings and no ranker: which of them orders the images?")
    source = _address(opinion.task, rated[0]["to_name"], shown)
    value = opinion.row.with_fields({"rating": rated[0]["rating"]})
    return source, value.integer("rating", low=0, high=1000)


def _of_ratings(text: str, name: str, group: list[tuple[_Opinion, str, int]]) -> RankingRecord:
    """Return the images in the order of their ratings, equal ones in a slot. Raises: ImportRefused."""
    first = group[0][0]
    best_first = sorted({rating for _, _, rating in group}, reverse=True)
    sources = [source for _, source, _ in group]
    return RankingRecord(
        row=first.row,
        key=first.task.text("prompt_id", longest=KEY_LENGTH),
        text=text,
        sources=first.row.with_fields({"images": sources}).texts("images"),
        slots=[best_first.index(rating) + 1 for _, _, rating in group],
        annotator=name,
        files=tuple(_path(source) for source in sources),
    )


def _text(task: Row, shown: dict[str, str]) -> str:
    """Return the prompt, from the field that the config's first Text shows. Raises: ImportRefused."""
    names = [*([shown["Text"]] if "Text" in shown else []), *TEXTS]
    return task.text(next((name for name in names if name in task.fields), TEXTS[0]))


def _address(task: Row, control: str, shown: dict[str, str]) -> str:
    """Return what the image control of this name shows. Raises: ImportRefused where that is not known."""
    for name in (shown.get(control), control):
        if name and isinstance(task.fields.get(name), str):
            return task.text(name, longest=SOURCE_LENGTH)
    raise task.refused(
        f"which field the control {control!r} shows is not known: put {CONFIG} beside the file"
    )


def _items(task: Row) -> dict[str, dict[str, Any]]:
    """Return the items of the task's lists by id."""
    lists = [value for value in task.fields.values() if isinstance(value, list)]
    return {str(item.get("id")): item for items in lists for item in items if isinstance(item, dict)}


def _numbers(task: Row) -> dict[str, int]:
    """Return the number of each image of a task of ours, by source."""
    return {source: number for number, source in enumerate(_items(task), 1)}


def _generator(task: Row, source: str) -> str:
    value = _items(task).get(source, {}).get("generator")
    return str(value)[:GENERATOR_LENGTH] if value else ""


def _file(task: Row, source: str, shown: dict[str, str]) -> str | None:
    """Return the path of the image's file: of what its item shows, or of the source itself; None: a URL."""
    item = _items(task).get(source)
    if item is None:
        return _path(source)
    found = SOURCE.search(str(item.get("html", "")))
    return _path(found[1]) if found else None


def _path(address: str) -> str | None:
    """Return the path below the folder of images; None for an address elsewhere."""
    for start in SERVED:
        if address.startswith(start):
            return unquote(address.removeprefix(start))
    return None if is_address(address) else address


def _label(opinion: _Opinion) -> dict[str, Any]:
    return {
        "category": _first(opinion.value("category")),
        "intent_unclear": yes_or_no(_first(opinion.value("intent_unclear"))),
        "issues": without_none(opinion.value("issues")),
        "acceptable_slots": opinion.value("acceptable_slots"),
    }


def _first(choices: Any) -> Any:
    return choices[0] if isinstance(choices, list) and choices else None


def _flat(opinion: _Opinion, numbers: dict[str, int], sources: list[str]) -> list[dict[str, Any]]:
    """Return each image's ratings and problems by name, from controls that are numbered as ours."""
    rows = []
    for source in sources:
        number = numbers.get(source)
        rated = {
            name.removesuffix(f"-{number}"): value["rating"]
            for name, (kind, value) in opinion.results.items()
            if kind == RATED and name.endswith(f"-{number}")
        }
        rows.append(rated | {"problems": without_none(opinion.value(f"problems-{number}"))})
    return rows


def _shown(file: Path) -> dict[str, str]:
    """Return control -> field of the task, and "Text" -> that of the first text, of the config if any."""
    config = file.with_name(CONFIG)
    if not config.is_file() or config.stat().st_size > LARGEST_CONFIG:
        return {}
    try:
        tags = list(ElementTree.parse(config).getroot().iter())
    except (ElementTree.ParseError, OSError) as error:
        raise Row(config, 1, {}).refused(f"is no labeling config ({error})") from None
    fields = {
        tag.get("name", ""): tag.get("value", "").removeprefix("$")
        for tag in tags
        if tag.get("value", "").startswith("$")
    }
    texts = [tag.get("value", "").removeprefix("$") for tag in tags if tag.tag == "Text"]
    return fields | ({"Text": texts[0]} if texts else {})


READER = Reader(name="labelstudio", fields=("annotations",), read=_read_tasks)
