"""The embedded small world: captioned scenes, the oracle that judges them, simulated annotators."""
