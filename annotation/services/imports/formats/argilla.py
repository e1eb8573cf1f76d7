"""Reading Argilla 2: the records.json of a dataset on disk, with ranking and rating questions."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from annotation.models import Issue, Problem, Project
from annotation.models.prompts import GENERATOR_LENGTH, KEY_LENGTH, SOURCE_LENGTH
from annotation.services.imports.formats.pictures import PictureFolder, file_name
from annotation.services.imports.formats.record import (
    RankingRecord,
    Reader,
    acceptable_slots,
    category,
    choices,
    is_address,
    ratings,
    seconds,
    without_none,
    yes_or_no,
)
from annotation.services.imports.rows import LONGEST_ITEM, Row
from annotation.services.imports.tables import read_rows

TEXTS = ("prompt", "text", "caption", "instruction")  # the field that holds the prompt
PSEUDONYM = 12  # digits at the end of the UUIDs that exports make
EMBEDDED = "data:"


def _read_records(project: Project, rows: Iterable[Row]) -> Iterator[RankingRecord]:
    """Yield a record per response to the ranking question, or of a record's images to rating questions.

    Raises: ImportRefused.
    """
    for row in rows:
        row.check_names(required=("fields", "responses"), optional=row.fields)
        fields, responses = row.record("fields"), row.record("responses")
        answers = _by_user(row, responses)
        for user, values in answers.items():
            ranked = [value for value in values.values() if _is_ranking(value)]
            if len(ranked) > 1:
                raise row.refused("a record has more than one ranking question")
            if ranked:
                yield _ranked(project, row, fields, user, values, ranked[0])
            else:
                yield _of_ratings(row, fields, user, values)


def _by_user(row: Row, responses: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return user -> question -> value. Discarded and unfinished responses are skipped."""
    answers: dict[str, dict[str, Any]] = {}
    for question, given in responses.items():
        if not isinstance(given, list):
            raise row.refused(f"the responses to {question!r} are no list")
        for response in given:
            if not isinstance(response, dict) or "value" not in response:
                raise row.refused(f"a response to {question!r} has no value")
            if response.get("status") in (None, "submitted"):
                answers.setdefault(str(response.get("user_id") or ""), {})[question] = response["value"]
    return answers


def _is_ranking(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "rank" in v for v in value)


def _ranked(
    project: Project, row: Row, fields: dict[str, Any], user: str, values: dict[str, Any], ranked: Any
) -> RankingRecord:
    metadata, name = row.record("metadata") if row.fields.get("metadata") else {}, _annotator(user)
    slots: dict[str, int] = {}
    for option in ranked:
        slots[str(option.get("value"))] = row.with_fields({"rank": option["rank"]}).integer(
            "rank", low=1, high=project.slots
        )
    numbers = [field for field in fields if field in slots] or list(slots)
    order, shown = metadata.get(f"order_{name}"), list(slots)
    if order:
        by_number = {str(number): option for number, option in enumerate(numbers, 1)}
        shown = [by_number[word] for word in str(order).split() if word in by_number]
        if sorted(shown) != sorted(slots):
            raise row.refused(f"'order_{name}' does not number the ranked images")
    known = row.with_fields(_known(values, metadata, name))
    each = [_of_image(values, option.rpartition("_")[2]) for option in shown]
    axes = {axis: axis for image in each for axis in image if axis != "problems"}
    stars = ratings(project, [row.with_fields(image) for image in each], axes)
    sources = [_source(row, fields, option) for option in shown]
    return RankingRecord(
        row=row,
        key=_key(row, metadata),
        text=_text(row, fields, slots),
        sources=row.with_fields({"images": sources}).texts("images", longest=SOURCE_LENGTH),
        slots=[slots[option] for option in shown],
        annotator=name,
        category=category(known, "category"),
        intent_unclear=yes_or_no(known.fields["intent_unclear"]),
        issues=choices(known, "issues", Issue.values),
        ratings=stars,
        problems=tuple(choices(row.with_fields(image), "problems", Problem.values) for image in each)
        if stars
        else (),
        generators=tuple(_generator(metadata, option) for option in shown),
        files=tuple(_file(fields, option, source) for option, source in zip(shown, sources, strict=True)),
        positions=tuple(range(1, len(shown) + 1)) if order else (),
        seconds=seconds(known),
        acceptable_slots=acceptable_slots(known, project),
    )


def _of_ratings(row: Row, fields: dict[str, Any], user: str, values: dict[str, Any]) -> RankingRecord:
    """Return a record's images in the order of their ratings, equal ones in a slot.

    A question is of the image whose field's name or number its own ends with. Raises: ImportRefused.
    """
    rated: dict[str, int] = {}
    for question, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        for option in fields:
            number = option.rpartition("_")[2]
            if question.endswith(option) or (number.isdecimal() and question.endswith(f"_{number}")):
                if option in rated:
                    raise row.refused(f"{option!r} has several ratings and there is no ranking question")
                rated[option] = value
    if not rated:
        raise row.refused("a response has no ranking, and no rating question that names an image's field")
    best_first = sorted(set(rated.values()), reverse=True)
    sources = [_source(row, fields, option) for option in rated]
    metadata = row.record("metadata") if row.fields.get("metadata") else {}
    return RankingRecord(
        row=row,
        key=_key(row, metadata),
        text=_text(row, fields, rated),
        sources=row.with_fields({"images": sources}).texts("images", longest=SOURCE_LENGTH),
        slots=[best_first.index(value) + 1 for value in rated.values()],
        annotator=_annotator(user),
        files=tuple(_file(fields, option, source) for option, source in zip(rated, sources, strict=True)),
    )


def _key(row: Row, metadata: dict[str, Any]) -> str:
    """Return the prompt id of our exports, else the record's own id, else its row's name."""
    fields = {"id": metadata.get("prompt_id") or row.fields.get("id") or row.name}
    return row.with_fields({"id": str(fields["id"])}).text("id", longest=KEY_LENGTH)


def _text(row: Row, fields: dict[str, Any], images: Iterable[str]) -> str:
    """Return the prompt: of a field of a usual name, else of the only text that is no image."""
    others = [name for name in fields if name not in set(images) and isinstance(fields[name], str)]
    name = next((name for name in TEXTS if name in fields), others[0] if len(others) == 1 else TEXTS[0])
    return row.with_fields(fields).text(name)


def _source(row: Row, fields: dict[str, Any], option: str) -> str:
    """Return the name of the image that the option ranks: what its field says, unless it is a picture."""
    value = fields.get(option, option)
    if isinstance(value, str) and value.startswith(EMBEDDED):
        return f"{_key(row, {})[: SOURCE_LENGTH - 100]}-{option}"
    return row.with_fields({option: value}).text(option, longest=SOURCE_LENGTH)


def _file(fields: dict[str, Any], option: str, source: str) -> str | None:
    """Return the file's path, the name that an embedded picture is unpacked under, or None for a URL."""
    value = fields.get(option, option)
    if isinstance(value, str) and value.startswith(EMBEDDED):
        return file_name(source)
    return None if is_address(source) else source


def _annotator(user: str) -> str:
    """Return the pseudonym of which an export made the UUID, else the UUID."""
    try:
        number = uuid.UUID(user).hex
    except ValueError:
        return user[:64]
    return number[-PSEUDONYM:] if not int(number[:-PSEUDONYM], 16) else user


def _known(values: dict[str, Any], metadata: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "category": values.get("category"),
        "intent_unclear": values.get("intent_unclear"),
        "issues": without_none(values.get("issues")),
        "acceptable_slots": values.get("acceptable_slots"),
        "seconds": metadata.get(f"seconds_{name}"),
    }


def _of_image(values: dict[str, Any], number: str) -> dict[str, Any]:
    rated = {
        name.removesuffix(f"_{number}"): value
        for name, value in values.items()
        if number.isdecimal() and name.endswith(f"_{number}") and isinstance(value, int)
    }
    return rated | {"problems": without_none(values.get(f"problems_{number}"))}


def _generator(metadata: dict[str, Any], option: str) -> str:
    value = metadata.get(f"generator_{option.rpartition('_')[2]}")
    return str(value)[:GENERATOR_LENGTH] if value else ""


def _unpack(file: Path, folder: Path, names: list[str], into: PictureFolder) -> set[str]:
    """Write the pictures that are embedded in the records as data: addresses."""
    wanted = set(names)
    for row in read_rows(file, longest_item=LONGEST_ITEM):
        for option, value in row.record("fields").items():
            if isinstance(value, str) and value.startswith(EMBEDDED):
                name = file_name(_source(row, {option: value}, option))
                if name in wanted:
                    try:
                        content = base64.b64decode(value.partition(",")[2], validate=True)
                    except binascii.Error:
                        raise row.refused(f"{option!r} is no base64") from None
                    into.add(file, name, content)
    return set()


READER = Reader(name="argilla", fields=("responses",), read=_read_records, unpack=_unpack)
