"""Errors that whoever loads or trains a model may handle."""


class PermanentError(ValueError):
    """No second try mends it; the message is one line that names the file, row or field."""


class CheckpointError(PermanentError):
    """A checkpoint is missing, broken or of another shape; the message names the file and says how."""


class Interrupted(Exception):
    """The work was asked to stop; it goes on from its last checkpoint when it is started again."""
