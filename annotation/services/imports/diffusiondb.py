"""Reading DiffusionDB: its part-XXXXXX folders, or its table of metadata with the images beside it.

Its file names are random, so the first images of a prompt by their names are a sample of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from annotation.models.prompts import SOURCE_LENGTH
from annotation.services.imports.formats import refuse_rankings
from annotation.services.imports.json_values import read_document
from annotation.services.imports.manifests import SEEDS, GenerationReader, ImportFile, PromptRecord
from annotation.services.imports.prompts import DIFFUSIONDB
from annotation.services.imports.rows import ImportRefused, Row, suffix_of
from annotation.services.imports.tables import read_rows
from annotation.services.projects.prompts import NewImage, own_id

GENERATOR = "stable-diffusion"
UNSAFE = 0.5  # of image_nsfw: 0 to 1, or 2 where the dataset's own filter hid it. The threshold is ours
FOLDER_PARAMETERS = {"cfg": "c", "steps": "st", "sampler": "sa"}  # our name -> the column
TABLE_PARAMETERS = {"cfg": "cfg", "steps": "step", "sampler": "sampler"}


def read_folders(file: ImportFile) -> Iterator[PromptRecord]:
    """Yield prompts in the order of each folder's JSON, with ids like the paper's 005658-0040.

    Raises: ImportRefused.
    """
    folder = file.path
    parts = [folder] if folder.name.startswith("part-") else sorted(folder.glob("part-*"))
    if not parts:
        raise ImportRefused(f"{folder}: holds no part-XXXXXX folder")
    for part in parts:
        listing = part / f"{part.name}.json"
        document = read_document(listing)
        if not isinstance(document, dict):
            raise ImportRefused(f"{listing}: is no object")
        by_text: dict[str, list[tuple[Row, NewImage]]] = {}
        for number, (name, fields) in enumerate(document.items(), 1):
            if not isinstance(fields, dict):
                raise ImportRefused(f"{listing}, row {number}: is no object")
            row = Row(listing, number, {"name": name, **fields})
            row.check_names(required=["name", "p"], optional=["se", "c", "st", "sa"])
            image = _image(row, part.parent, part.name, name="name", seed="se", parameters=FOLDER_PARAMETERS)
            by_text.setdefault(row.text("p"), []).append((row, image))
        for index, (text, images) in enumerate(by_text.items()):
            yield _prompt(f"{part.name.removeprefix('part-')}-{index:04d}", text, images)


def read_table(file: ImportFile) -> Iterator[PromptRecord]:
    """Yield the prompts of a metadata table, in the order in which their texts first appear.

    Images are in the part-XXXXXX folders. Prompts not in `file.texts` take no memory. Raises: ImportRefused.
    """
    by_text: dict[str, list[tuple[Row, NewImage]]] = {}
    for row in read_rows(file.path, check=_check_columns):
        if file.texts is not None and row.fields["prompt"] not in file.texts:
            continue
        part = f"part-{row.integer('part_id', low=0, high=999_999):06d}"
        image = _image(row, file.images, part, name="image_name", seed="seed", parameters=TABLE_PARAMETERS)
        by_text.setdefault(row.text("prompt"), []).append((row, image))
    for text, images in by_text.items():
        yield _prompt(own_id(text), text, images)


def _check_columns(row: Row) -> None:
    refuse_rankings(row)
    row.check_names(required=["prompt", "image_name", "part_id"], optional=DIFFUSIONDB)


def _prompt(key: str, text: str, images: list[tuple[Row, NewImage]]) -> PromptRecord:
    images.sort(key=lambda image: image[1].source)
    return PromptRecord(images[0][0], key, text, [image for _, image in images], is_sample=True)


def _image(
    row: Row, folder: Path, part: str, *, name: str, seed: str, parameters: dict[str, str]
) -> NewImage:
    """Return the image of a row, whose fields are called name, seed and parameters, in the part's folder."""
    file = row.text(name, longest=SOURCE_LENGTH - len(part) - 1)
    unsafe = row.fields.get("image_nsfw")
    values = {name: row.fields[column] for name, column in parameters.items() if column in row.fields}
    return NewImage(
        content=row.inside(file, folder / part),
        source=f"{part}/{file}",
        generator=GENERATOR,
        seed=row.integer(seed, low=SEEDS[0], high=SEEDS[1]) if seed in row.fields else None,
        parameters=row.with_fields({"parameters": values}).record("parameters"),
        is_flagged=isinstance(unsafe, int | float) and unsafe >= UNSAFE,
    )


FOLDERS = GenerationReader(accepts=Path.is_dir, read=read_folders)
TABLE = GenerationReader(accepts=lambda file: suffix_of(file) == ".parquet", read=read_table)
