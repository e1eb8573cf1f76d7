"""Every format, by name. To add one: a module here with a FORMAT, and its name in the list."""

from __future__ import annotations

from annotation.services.exports.formats import csv, hpd, imagereward, imagerewarddb, pairs, pickapic
from annotation.services.exports.formats.format import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (imagereward, imagerewarddb, pairs, pickapic, hpd, csv)
}
