"""Convert a reward model between our form and those that others publish."""

from __future__ import annotations

from pathlib import Path

FORMS = ("laurel", "image-reward", "blip", "transformers")


def convert(source: str, target: Path, form: str) -> str:
    """Write a model, whatever form it is in, as a folder (laurel, transformers) or a file (the others).

    It is written whole, or not at all.

    Returns: what the form does not hold, in words; nothing when it holds all.
    Raises: CheckpointError when the source cannot be read, the form cannot hold it, or the target is there;
        NotSaved.
    """
    from rewardmodel.learning import checkpoints
    from rewardmodel.learning.checkpoints import downloads, published
    from rewardmodel.learning.errors import CheckpointError
    from rewardmodel.learning.model.backbones.blip_layouts import (
        IMAGE_REWARD_FILE,
        IMAGE_REWARD_MEAN,
        IMAGE_REWARD_STD,
    )

    if target.exists():
        raise CheckpointError(f"{target}: is there already")
    checkpoint = checkpoints.load(downloads.locate(source))
    model, config, tokenizer = checkpoint.model, checkpoint.config, checkpoint.tokenizer
    target.parent.mkdir(parents=True, exist_ok=True)
    if form == "laurel":
        checkpoints.save(target, model=model, tokenizer=tokenizer, config=config)
        return ""
    published.write(model, tokenizer, target, form)
    left_out = [f"the head for {aspect}" for aspect in config.aspects]
    named = form == "image-reward" and target.name == IMAGE_REWARD_FILE
    mean, std = (IMAGE_REWARD_MEAN, IMAGE_REWARD_STD) if named else (0.0, 1.0)
    if form == "blip":
        left_out.append("the head")
    elif (config.mean, config.std) != (mean, std):
        meaning = f"; under this name it is read with {mean} and {std}" if named else ""
        left_out.append(f"the scores' mean {config.mean} and deviation {config.std}{meaning}")
    return f"{target}: does not hold {', '.join(left_out)}" if left_out else ""
