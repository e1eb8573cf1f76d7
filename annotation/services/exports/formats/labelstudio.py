"""Label Studio's JSON: a task for every set of images of a prompt, with each opinion as an annotation."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from annotation.models import Category, Issue, Problem
from annotation.models.axes import SCALE
from annotation.selectors.exports import ExportedImage, ExportedRanking
from annotation.services.exports.formats.format import (
    Format,
    Part,
    Plan,
    append_to_list,
    by_images,
    close_list,
    read_back,
    store_image,
)

FILE, CONFIG = "labelstudio.json", "labeling_config.xml"
SERVED = "/data/local-files/?d="  # how Label Studio serves files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
LEAST_SLOTS = 2


def _task(folder: Path, rankings: list[ExportedRanking], *, with_images: bool) -> dict[str, Any]:
    """Return the task as Label Studio imports it. Args: rankings: of the same images of a prompt.

    Source: labelstud.io/guide/tasks, "Basic Label Studio JSON format", and exports of version 1.23.
    """
    first = rankings[0]
    paths = {
        image.source: store_image(folder, image) if with_images else None
        for ranking in rankings
        for image in ranking.images
    }
    images = sorted(first.images, key=lambda image: image.source)
    data: dict[str, Any] = {
        "prompt_id": first.key,
        "prompt": first.text,
        "images": [_item(image, paths[image.source]) for image in images],
    }
    for number, image in enumerate(images, 1):
        data[f"image{number}"] = _address(paths[image.source]) or image.source
    numbers = {image.source: number for number, image in enumerate(images, 1)}
    return {"data": data, "annotations": [_annotation(ranking, numbers) for ranking in rankings]}


def _item(image: ExportedImage, path: str | None) -> dict[str, str]:
    """Return an item of the List: what the Ranker moves, named by its `id`."""
    shown = {"html": f'<img src="{escape(_address(path))}" style="max-width: 100%">'} if path else {}
    return {"id": image.source, "title": image.source, "generator": image.generator, **shown}


def _address(path: str | None) -> str:
    return f"{SERVED}{path}" if path else ""


def _annotation(ranking: ExportedRanking, numbers: dict[str, int]) -> dict[str, Any]:
    """Args: numbers: of the images in the task, from 1, by source."""
    results = list(_results(ranking, numbers))
    timed = {} if ranking.seconds is None else {"lead_time": ranking.seconds}
    return {"result": results, **timed}


def _results(ranking: ExportedRanking, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    buckets = {f"slot-{slot}": [] for slot in sorted(set(ranking.slots))}  # type: dict[str, list[str]]
    for image in ranking.images:
        buckets[f"slot-{image.slot}"].append(image.source)
    yield _result("ranking", "images", "ranker", ranker=buckets)
    yield _result("annotator", "prompt", "textarea", text=[ranking.annotator])
    if ranking.positions:
        shown = sorted(ranking.images, key=lambda image: image.position or 0)
        order = " ".join(str(numbers[image.source]) for image in shown)
        yield _result("order_shown", "prompt", "textarea", text=[order])
    if ranking.acceptable_slots is not None:
        yield _result("acceptable_slots", "prompt", "number", number=ranking.acceptable_slots)
    if ranking.category:
        yield _result("category", "prompt", "choices", choices=[ranking.category])
    if ranking.intent_unclear is not None:
        said = "yes" if ranking.intent_unclear else "no"
        yield _result("intent_unclear", "prompt", "choices", choices=[said])
    if ranking.issues is not None:
        yield _result("issues", "prompt", "choices", choices=ranking.issues or ["none"])
    for image in ranking.images:
        number = numbers[image.source]
        for axis, rating in image.points.items():
            yield _result(f"{axis}-{number}", f"image-{number}", "rating", rating=rating)
        if image.problems is not None:
            chosen = image.problems or ["none"]
            yield _result(f"problems-{number}", f"image-{number}", "choices", choices=chosen)


def _result(name: str, of: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": of, "type": kind, "value": value}


def _finish(folder: Path, plan: Plan) -> None:
    """End the list, and write the labeling config that its controls are of."""
    close_list(folder / FILE)
    images, slots = 0, LEAST_SLOTS
    axes: dict[str, None] = {}  # in their order
    for task in read_back(folder / FILE):
        images = max(images, len(task["data"]["images"]))
        for annotation in task["annotations"]:
            ranking, *results = annotation["result"]
            slots = max(slots, *(int(name.partition("-")[2]) for name in ranking["value"]["ranker"]))
            rated = (result["from_name"] for result in results if result["type"] == "rating")
            axes |= dict.fromkeys(name.rpartition("-")[0] for name in rated)
    (folder / CONFIG).write_text(_config(images, slots, list(axes)), encoding="utf-8")


def _config(images: int, slots: int, axes: list[str]) -> str:
    """Return the labeling config. Args: images: the most of a task; slots: the worst one used."""
    lines = [
        "<View>",
        '  <Text name="prompt" value="$prompt"/>',
        '  <List name="images" value="$images" title="Images"/>',
        '  <Ranker name="ranking" toName="images">',
        *(f'    <Bucket name="slot-{slot}" title="{slot}"/>' for slot in range(1, slots + 1)),
        "  </Ranker>",
        '  <Number name="acceptable_slots" toName="prompt" min="0" max="9"/>',
        *_choices("category", "prompt", Category.values, "single"),
        *_choices("intent_unclear", "prompt", ["yes", "no"], "single"),
        *_choices("issues", "prompt", [*Issue.values, "none"], "multiple"),
    ]
    for number in range(1, images + 1):
        name = f"image-{number}"
        lines.append(f'  <Image name="{name}" value="$image{number}"/>')
        lines += [
            f'  <Rating name="{axis}-{number}" toName="{name}" maxRating="{SCALE[1]}"/>' for axis in axes
        ]
        lines += _choices(f"problems-{number}", name, [*Problem.values, "none"], "multiple")
    for name in ("annotator", "order_shown"):
        lines.append(f'  <TextArea name="{name}" toName="prompt" maxSubmissions="1"/>')
    return "\n".join([*lines, "</View>", ""])


def _choices(name: str, of: str, values: list[str], how: str) -> list[str]:
    inner = [f"    <Choice value={quoteattr(value)}/>" for value in values]
    return [f'  <Choices name="{name}" toName="{of}" choice="{how}">', *inner, "  </Choices>"]


def _write_part(folder: Path, part: Part) -> None:
    tasks = (_task(folder, group, with_images=part.plan.images) for group in by_images(part.rankings))
    append_to_list(folder / FILE, tasks)


FORMAT = Format(
    name="labelstudio",
    label="Label Studio: JSON tasks, and images in files",
    data=FILE,
    about="""One task for every set of images of a prompt, each opinion one of its `annotations`. The
slot is the bucket of the `ranking`; ratings, problems and the prompt's label are results of controls of their
names, numbered as the images are; `lead_time` is how long the opinion took, absences included;
`order_shown` numbers the images as they stood on the page; `annotator` is a pseudonym. Make a project of
`labeling_config.xml`, let Label Studio serve this folder as local files
(`LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`), and import the JSON.""",
    write=_write_part,
    finish=_finish,
    has_images=True,
)
