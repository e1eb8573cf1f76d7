"""What can be wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint is missing, broken or of another shape; the message names the file and says how."""
