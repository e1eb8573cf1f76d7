"""What a checkpoint is worth, as lines of text."""

from __future__ import annotations

from rewardmodel.models import RewardCheckpoint


def in_words(checkpoint: RewardCheckpoint) -> str:
    """Accuracy with its interval; beside it those of its rivals, and of people where known."""
    metrics = checkpoint.metrics
    if not metrics:
        return f"{checkpoint}: not evaluated"
    low, high = metrics["interval"]
    promoted = ", promoted" if checkpoint.promoted else ", not promoted"
    lines = [
        f"{checkpoint}: {metrics['accuracy']:.1%} ({low:.1%} to {high:.1%}) "
        f"of {metrics['pairs']} test pairs of {metrics['prompts']} prompts{promoted}"
    ]
    for rival in metrics["beside"]:
        low, high = rival["difference_interval"]
        lines.append(
            f"  {rival['name']}: {rival['accuracy']:.1%}; "
            f"{checkpoint} less that: {rival['difference']:+.1%} ({low:+.1%} to {high:+.1%})"
        )
    if metrics["ceiling"] is not None:
        lines.append(f"  people: {metrics['ceiling']:.1%}")
    return "\n".join(lines)
