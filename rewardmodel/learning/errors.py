"""What a checkpoint can be refused for, and what ends work early."""


class CheckpointError(ValueError):
    """A checkpoint is missing, broken or of another shape; the message names the file and says how."""


class Interrupted(Exception):
    """The work was asked to stop; it goes on from its last checkpoint when it is started again."""
