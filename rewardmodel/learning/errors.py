"""Errors that whoever loads or trains a model may handle."""


class CheckpointError(ValueError):
    """A checkpoint is missing, broken or of another shape; the message names the file and says how."""


class Interrupted(Exception):
    """The work was asked to stop; it goes on from its last checkpoint when it is started again."""
