"""A run around the loop: its settings, requests from outside, and the worker that wires it all."""
