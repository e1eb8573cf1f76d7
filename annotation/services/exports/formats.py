"""Every format, by name."""

from __future__ import annotations

from annotation.services.exports import csv, hpd, imagereward, imagerewarddb, pairs, pickapic

FORMATS = {
    module.FORMAT.name: module.FORMAT for module in (imagereward, imagerewarddb, pairs, pickapic, hpd, csv)
}
