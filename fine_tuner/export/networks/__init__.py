"""A run's network in the formats of other runtimes, each checked against PyTorch on the run's pictures."""
