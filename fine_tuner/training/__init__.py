"""The training loop, evaluation, checkpoints, and the worker that wires a run."""
