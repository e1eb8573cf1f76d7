"""Every format, by name. To add one: a module here with a FORMAT, and its name in the list."""

from __future__ import annotations

from annotation.services.exports.formats import (
    argilla,
    csv,
    dpo,
    hpd,
    hpdv3,
    imagereward,
    imagerewarddb,
    labelstudio,
    pairs,
    pickapic,
    richhf,
    visionreward,
)
from annotation.services.exports.formats.format import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        imagereward,
        imagerewarddb,
        pairs,
        dpo,
        pickapic,
        richhf,
        visionreward,
        hpd,
        hpdv3,
        labelstudio,
        argilla,
        csv,
    )
}


def left_out() -> list[tuple[list[str], tuple[str, ...]]]:
    """Return the titles of formats that have no place for something, and for what, by that."""
    titles: dict[tuple[str, ...], list[str]] = {}
    for format in FORMATS.values():
        if format.leaves_out:
            titles.setdefault(format.leaves_out, []).append(format.title)
    return [(names, what) for what, names in titles.items()]
