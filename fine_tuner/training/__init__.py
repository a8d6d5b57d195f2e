"""The training loop, validation, checkpoints, and the worker that wires a run."""
