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
)
from annotation.services.exports.formats.format import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (imagereward, imagerewarddb, pairs, dpo, pickapic, hpd, hpdv3, labelstudio, argilla, csv)
}


def formats_that_leave_out() -> dict[tuple[str, ...], list[str]]:
    """Return what formats have no place for -> the names of those."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, format in FORMATS.items():
        if format.leaves_out:
            names.setdefault(format.leaves_out, []).append(name)
    return names
