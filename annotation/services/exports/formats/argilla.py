"""Argilla's dataset on disk: records with ranking and rating questions, their settings, and the dataset."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotation.models import Category, Issue, Problem
from annotation.models.axes import SCALE
from annotation.selectors.exports import ExportedRanking
from annotation.services.exports.formats.format import (
    Format,
    Part,
    Plan,
    append_to_list,
    by_images,
    close_list,
    read_back,
)

FILE = "records.json"
SETTINGS, DATASET = ".argilla/settings.json", ".argilla/dataset.json"
MOST_SLOTS = 9


def _record(rankings: list[ExportedRanking]) -> dict[str, Any]:
    """Return the record as Argilla 2 writes it. Args: rankings: of the same images of a prompt.

    What belongs to a response and has no question, as the time taken, is metadata named by the annotator.

    Source: argilla 2.8, `Dataset.to_disk`.
    """
    first = rankings[0]
    images = sorted(first.images, key=lambda image: image.source)
    numbers = {image.source: number for number, image in enumerate(images, 1)}
    responses: dict[str, list[dict[str, Any]]] = {}
    metadata: dict[str, Any] = {"prompt_id": first.key}
    for number, image in enumerate(images, 1):
        metadata[f"generator_{number}"] = image.generator
    for ranking in rankings:
        for question, value in _answers(ranking, numbers):
            responses.setdefault(question, []).append({"value": value, "user_id": _user(ranking.annotator)})
        if ranking.seconds is not None:
            metadata[f"seconds_{ranking.annotator}"] = ranking.seconds
        if ranking.positions:
            shown = sorted(ranking.images, key=lambda image: image.position or 0)
            metadata[f"order_{ranking.annotator}"] = " ".join(str(numbers[image.source]) for image in shown)
    return {
        "id": f"{first.key}-{first.assignment}",
        "fields": {"prompt": first.text}
        | {f"image_{numbers[image.source]}": image.source for image in images},
        "metadata": metadata,
        "suggestions": {},
        "responses": responses,
        "vectors": {},
        "status": "completed",
        "_server_id": None,
    }


def _answers(ranking: ExportedRanking, numbers: dict[str, int]) -> Iterator[tuple[str, Any]]:
    """Yield question and value."""
    ranked = [{"value": f"image_{numbers[image.source]}", "rank": image.slot} for image in ranking.images]
    yield "ranking", sorted(ranked, key=lambda option: option["rank"])
    if ranking.acceptable_slots is not None:
        yield "acceptable_slots", ranking.acceptable_slots
    if ranking.category:
        yield "category", ranking.category
    if ranking.intent_unclear is not None:
        yield "intent_unclear", "yes" if ranking.intent_unclear else "no"
    if ranking.issues is not None:
        yield "issues", ranking.issues or ["none"]
    for image in ranking.images:
        number = numbers[image.source]
        for axis, rating in image.points.items():
            yield f"{axis}_{number}", rating
        if image.problems is not None:
            yield f"problems_{number}", image.problems or ["none"]


def _user(pseudonym: str) -> str:
    """Return the pseudonym as the UUID that Argilla wants of a user."""
    return str(uuid.UUID(pseudonym.zfill(32)))


def _finish(folder: Path, plan: Plan) -> None:
    """End the list, and write the settings and the dataset."""
    close_list(folder / FILE)
    images, axes = 0, dict[str, None]()
    for record in read_back(folder / FILE):
        images = max(images, len(record["fields"]) - 1)
        numbered = (name.rpartition("_") for name in record["responses"])
        axes |= dict.fromkeys(axis for axis, _, end in numbered if end.isdecimal() and axis != "problems")
    (folder / SETTINGS).parent.mkdir(exist_ok=True)
    (folder / SETTINGS).write_text(
        json.dumps(_settings(images, list(axes)), indent=1) + "\n", encoding="utf-8"
    )
    (folder / DATASET).write_text(json.dumps(DATASET_MODEL) + "\n", encoding="utf-8")


def _settings(images: int, axes: list[str]) -> dict[str, Any]:
    """Return the fields and questions. Args: images: the most of a record."""
    names = [f"image_{number}" for number in range(1, images + 1)]
    options = [{"value": name, "text": name.replace("_", " ").capitalize()} for name in names]
    questions = [
        _question("ranking", "ranking", options, required=True),
        _question("acceptable_slots", "rating", _numbers(0, MOST_SLOTS)),
        _question("category", "label_selection", _labels(Category.values)),
        _question("intent_unclear", "label_selection", _labels(["yes", "no"])),
        _question("issues", "multi_label_selection", _labels([*Issue.values, "none"])),
    ]
    for number in range(1, images + 1):
        questions += [_question(f"{axis}_{number}", "rating", _numbers(*SCALE)) for axis in axes]
        problems = _labels([*Problem.values, "none"])
        questions.append(_question(f"problems_{number}", "multi_label_selection", problems))
    fields = [_field("prompt", {"type": "text", "use_markdown": False}, required=True)]
    fields += [_field(name, {"type": "image"}, required=False) for name in names]
    return {
        "guidelines": None,
        "questions": questions,
        "fields": fields,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _question(
    name: str, kind: str, options: list[dict[str, Any]], *, required: bool = False
) -> dict[str, Any]:
    settings: dict[str, Any] = {"type": kind, "options": options}
    if "label" in kind:
        settings |= {"visible_options": None}
    if kind == "multi_label_selection":
        settings |= {"options_order": "natural"}
    return _part(name, settings, required=required)


def _field(name: str, settings: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return _part(name, settings, required=required)


def _part(name: str, settings: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {
        **{"id": None, "inserted_at": None, "updated_at": None, "dataset_id": None, "description": None},
        **{"name": name, "title": name, "required": required, "type": settings["type"], "settings": settings},
    }


def _numbers(low: int, high: int) -> list[dict[str, Any]]:
    return [{"value": value} for value in range(low, high + 1)]


def _labels(values: list[str]) -> list[dict[str, Any]]:
    return [{"value": value, "text": value, "description": None} for value in values]


DATASET_MODEL = {
    **{"id": None, "inserted_at": None, "updated_at": None, "name": "laurel", "status": "draft"},
    **{"guidelines": None, "allow_extra_metadata": True, "workspace_id": None, "last_activity_at": None},
    "distribution": {"strategy": "overlap", "min_submitted": 1},
}


def _write_part(folder: Path, part: Part) -> None:
    append_to_list(folder / FILE, map(_record, by_images(part.rankings)))


FORMAT = Format(
    name="argilla",
    label="Argilla dataset: records, with settings",
    data=FILE,
    about="""One record for every set of images of a prompt, each opinion a response of a user whose
UUID ends with the pseudonym: `rg.Dataset.from_disk` reads the folder. The slot is the rank in `ranking`;
ratings, problems and the prompt's label are questions of their names, numbered as the images are. The
`generator_1` ..., and by pseudonym the `seconds_` that an opinion took, absences included, and the
`order_` of the images' numbers on the page are metadata. Images are named, not included.""",
    write=_write_part,
    finish=_finish,
)
