"""How the demo project trains and tunes: the paper's settings, scaled to the small world."""

from __future__ import annotations

from rewardmodel.learning.config import RewardConfig

# The encoder is small and pretrained on this very world, so it takes a larger step than BLIP-L's 1e-5.
REWARD_CONFIG = RewardConfig(
    learning_rate=3e-4, batch_pairs=64, epochs=6, validations_per_epoch=2, fix_rate=0.5, warmup=0.05
)
