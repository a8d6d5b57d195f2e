"""A run around the loop: its folder, checkpoints, requests from outside, and the worker that wires it all."""
