from annotation.services.exports.cards import Counts
from annotation.services.exports.formats import FORMATS, left_out
from annotation.services.exports.formats.format import ExportFailed
from annotation.services.exports.requests import (
    UnknownFormat,
    cancel_export,
    delete_export,
    request_export,
    retry_export,
)
from annotation.services.exports.to_folder import export_to_folder
from annotation.services.exports.worker import run_export

__all__ = [
    "FORMATS",
    "Counts",
    "ExportFailed",
    "UnknownFormat",
    "cancel_export",
    "delete_export",
    "export_to_folder",
    "left_out",
    "request_export",
    "retry_export",
    "run_export",
]
