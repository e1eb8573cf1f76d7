"""What a reward model is worth: how far it agrees with people, and how sure that figure is.

Each figure is a pure function of rewards and rankings, in a module named for it; all of them together are a
`report`. Intervals are 95 % bootstrap intervals over prompts.
"""

from annotation.statistics.estimates import Estimate, Interval
from rewardmodel.learning.evaluation.accuracy import (
    Comparison,
    Evaluation,
    PromptResult,
    compare,
    evaluate,
    evaluate_rewards,
)
from rewardmodel.learning.evaluation.pairs import pairs_of
from rewardmodel.learning.evaluation.report import About, Judge, Judged, judge, report

__all__ = [
    "About",
    "Comparison",
    "Estimate",
    "Evaluation",
    "Interval",
    "Judge",
    "Judged",
    "PromptResult",
    "compare",
    "evaluate",
    "evaluate_rewards",
    "judge",
    "pairs_of",
    "report",
]
