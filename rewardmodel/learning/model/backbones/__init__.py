"""What reads images and prompts: the encoders that a reward model's head stands on."""
