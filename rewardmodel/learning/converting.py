"""A reward model from the form it is in into another: ours, and those that others publish."""

from __future__ import annotations

from pathlib import Path

FORMS = ("laurel", "image-reward", "blip", "transformers")


def convert(source: str, target: Path, form: str) -> str:
    """Write a model, whatever form it is in, as a folder (laurel, transformers) or a file (the others).

    Returns: what the form does not hold, in words; nothing when it holds all.
    Raises: CheckpointError when the source cannot be read, the form cannot hold it, or the target is there.
    """
    from rewardmodel.learning import checkpoints, downloads
    from rewardmodel.learning.checkpoints import CheckpointError
    from rewardmodel.learning.published import blip

    if target.exists():
        raise CheckpointError(f"{target}: is there already")
    checkpoint = checkpoints.load(downloads.locate(source))
    model, config, tokenizer = checkpoint.model, checkpoint.config, checkpoint.tokenizer
    target.parent.mkdir(parents=True, exist_ok=True)
    if form == "laurel":
        checkpoints.save(target, model=model, tokenizer=tokenizer, config=config)
        return ""
    if form == "transformers":
        blip.write_transformers(model, target)
        tokenizer.save_pretrained(target)
    elif form == "image-reward":
        blip.write_image_reward(model, target)
    else:
        blip.write_blip(model, target)
    if form != "blip" and (config.mean, config.std) == (0.0, 1.0):
        return ""
    left_out = "the head" if form == "blip" else f"the scores' mean {config.mean} and deviation {config.std}"
    return f"{target}: does not hold {left_out}"
